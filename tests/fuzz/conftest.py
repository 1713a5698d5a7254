"""How long to look: the same few examples in every check, and many new ones with `-m nightly`."""

import pytest
from hypothesis import HealthCheck, settings

NIGHTLY = "nightly"
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
CHECK = settings(
    derandomize=True, database=None, deadline=None, max_examples=25, suppress_health_check=SLOW
)
settings.register_profile("check", CHECK)
settings.register_profile(NIGHTLY, CHECK, derandomize=False, max_examples=1000, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """The profile for this run."""
    settings.load_profile(NIGHTLY if config.option.markexpr == NIGHTLY else "check")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every property of this folder is one of the nightly tests too, with more examples."""
    if config.option.markexpr == NIGHTLY:
        for item in items:
            if item.path.is_relative_to(__file__.rpartition("/")[0]):
                item.add_marker(NIGHTLY)
                item.add_marker(pytest.mark.timeout(1200))
