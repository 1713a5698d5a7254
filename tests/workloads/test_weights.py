"""Expected work by host."""

from workloads import scenario, simulate
from workloads.simulate import fleet_of
from workloads.weights import weights


def weighed(*overrides):
    plan = simulate.prepare(scenario.decode("", "test.toml", overrides)).plan
    assert fleet_of(plan).weights == weights(plan)
    return weights(plan)


def test_a_host_weighs_what_its_vms_are_going_to_ask_for():
    fleet = ("fleet.hosts=3", "fleet.vms_per_host=4", "fleet.vms=10")
    assert weighed(*fleet, "scenario.conversions=100") == [40, 40, 20]


def test_without_a_number_of_conversions_vms_are_counted():
    fleet = ("fleet.hosts=3", "fleet.vms_per_host=4", "fleet.vms=10")
    assert weighed(*fleet, "scenario.conversions=0") == [4, 4, 2]


def test_a_log_weighs_its_conversions(tmp_path):
    line = "kvm_convert_memory start 0x{:x} size 0x1000 private_to_shared\n"
    for name, count in (("long", 50), ("short", 2)):
        text = "".join(line.format(n << 12) for n in range(count))
        (tmp_path / f"{name}.log").write_text(text)
    logs = f"log=['{tmp_path}/long.log','{tmp_path}/short.log']"
    workload = f"workload=[{{kind='trace',{logs}}}]"
    fleet = ("fleet.hosts=2", "fleet.vms_per_host=1", "scenario.conversions=0")
    assert weighed(*fleet, workload) == [50, 2]
