"""Addresses: one integer for each actor, told apart and taken apart by arithmetic."""

from itertools import product

import pytest

from actors import address as a


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (a.host_address(3) | a.TDX, "h3/tdx"),
        (a.host_address(0) | a.ALLOCATOR, "h0/allocator"),
        (a.host_address(65_535) | a.IOMMU, "h65535/iommu"),
        (a.vm_address(3, 7) | a.KVM, "h3/v7/kvm"),
        (a.vm_address(0, 0) | a.GMEM, "h0/v0/gmem"),
        (a.vm_address(0, 0) | a.GMEM | 1, "h0/v0/gmem1"),
        (a.vm_address(1, 16_382) | a.LOAD, "h1/v16382/load"),
        (a.file_address(a.vm_address(3, 7), 2) | a.KVM, "h3/v7.2/kvm"),
    ],
)
def test_a_name_says_host_vm_and_kind(address, name):
    assert a.name_of(address) == name


def test_no_two_actors_share_an_address():
    hosts, vms = (0, 1, 65_535), (0, 1, 255, 256, 16_382)
    files = range(a.FILES_MAX)
    of_vms = [
        a.file_address(a.vm_address(h, v), f) | k
        for h, v, f, k in product(hosts, vms, files, a.VM_KINDS)
    ]
    of_hosts = [a.host_address(h) | k for h, k in product(hosts, a.HOST_KINDS)]
    assert len({*of_vms, *of_hosts}) == len(of_vms) + len(of_hosts)
    assert max(of_vms) < 1 << a.ADDRESS_BITS


def test_an_address_comes_apart_into_what_it_was_made_of():
    for host, vm in product((0, 5, 65_535), (0, 200, 16_382)):
        found = a.vm_address(host, vm) | a.PINS
        assert (a.host_of(found), a.vm_of(found)) == (host, vm)
        assert a.vm_base(found) == a.vm_address(host, vm)
        assert a.host_base(found) == a.host_address(host)


def test_another_vm_on_the_same_inode_is_told_by_its_file():
    vm = a.vm_address(5, 16_382)
    for file in range(a.FILES_MAX):
        found = a.file_address(vm, file) | a.KVM
        assert (a.host_of(found), a.vm_of(found), a.file_of(found)) == (5, 16_382, file)
        assert a.vm_base(found) == a.file_address(vm, file)
        assert a.owner_base(found) == vm


def test_a_hosts_own_actors_belong_to_no_vm():
    assert a.vm_of(a.host_address(9) | a.IOMMU) == -1
