"""The Prometheus exporter: a private registry, an HTTP server, and the Readings it was given last.

The only file that knows prometheus_client. No metric object of that library is kept or counted up, so
that nothing is paid while nobody scrapes, and there are no `_created` series. What Prometheus asks for
each second is written by cluster.exposition, and not compressed: the library would take over 1% of a
run's time for it. Whoever wants OpenMetrics, or some families alone, gets them from the library.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cluster.exposition import exposition
from cluster.histogram import NS
from cluster.metrics import FAMILIES, Bars, Family, Readings

PLAIN = "text/plain"
CONTENT_TYPE = f"{PLAIN}; version=0.0.4; charset=utf-8"


Make = Callable[[], Readings | None]
"""What is shown, made when somebody looks."""


class PortError(Exception):
    """The exporter cannot listen; the text is one line for people."""


class PortInUseError(PortError):
    """Somebody else listens on the port."""


class _Latest(Collector):
    """Yields the families of the Readings that are current when the scrape begins."""

    def __init__(self, make: Make) -> None:
        self.make = make

    def collect(self) -> Iterable[Metric]:
        # One look: a swap half way through a scrape must not mix two snapshots.
        readings = self.make()
        return [_family(family, readings) for family in FAMILIES.values()]

    def describe(self) -> Iterable[Metric]:
        """Names alone, which is what lets a scraper ask for some of them (`?name[]=`)."""
        return [_family(family, None) for family in FAMILIES.values()]


def _family(family: Family, readings: Readings | None) -> Metric:
    return _KINDS[family.kind](family, readings)


def _counter(family: Family, readings: Readings | None) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    for labels, value in _values(family, readings):
        metric.add_metric(labels, value)
    return metric


def _gauge(family: Family, readings: Readings | None) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    for labels, value in _values(family, readings):
        metric.add_metric(labels, value)
    return metric


def _info(family: Family, readings: Readings | None) -> Metric:
    # The library puts the suffix back on.
    metric = InfoMetricFamily(family.name.removesuffix("_info"), family.help)
    for labels, _ in _values(family, readings):
        metric.add_metric((), dict(zip(family.labels, labels, strict=True)))
    return metric


def _histogram(family: Family, readings: Readings | None) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    for labels, bars in readings.bars[family.name].items() if readings else ():
        metric.add_metric(labels, list(_buckets(family, bars)), bars.seconds)
    return metric


_KINDS = {"counter": _counter, "gauge": _gauge, "info": _info, "histogram": _histogram}


def _values(family: Family, readings: Readings | None) -> Iterable[tuple[tuple[str, ...], float]]:
    return readings.values[family.name].items() if readings else ()


def _buckets(family: Family, bars: Bars) -> Iterator[tuple[str, float]]:
    for bound, below in zip(family.bounds, bars.below, strict=True):
        yield str(bound / NS), below
    yield "+Inf", bars.number


def _registry(latest: _Latest) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(latest)
    return registry


def _app(latest: _Latest) -> WSGIApplication:
    """What answers a request."""
    library: WSGIApplication = make_wsgi_app(_registry(latest), disable_compression=True)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        readings = latest.make()
        if readings is None or not _usual(environ):
            return library(environ, start_response)
        start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
        return [exposition(readings).encode()]

    return answer


def _usual(environ: WSGIEnvironment) -> bool:
    """All families, as plain text: Prometheus would rather have OpenMetrics, but takes both."""
    asked = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
    return asked == ("GET", "/metrics", "") and PLAIN in environ.get("HTTP_ACCEPT", PLAIN)


class Exporter:
    """Serves the latest Readings on /metrics until it is closed. Port 0 takes a free one.

    Without Readings a scrape shows HELP and TYPE alone.
    """

    def __init__(
        self, port: int = 0, addr: str = "127.0.0.1", readings: Readings | None = None
    ) -> None:
        self._latest = _Latest(lambda: readings)
        try:
            self._server, self._thread = start_http_server(port, addr, _registry(self._latest))
        except (OSError, OverflowError) as error:
            raise _port_error(error, port, addr) from None
        self._server.set_app(_app(self._latest))
        self.addr = addr
        self.port = self._server.server_port

    @property
    def readings(self) -> Readings | None:
        """What scrapes see from now on; any thread may set it."""
        return self._latest.make()

    @readings.setter
    def readings(self, readings: Readings) -> None:
        self.show(lambda: readings)

    def show(self, make: Make) -> None:
        """The same, made anew by each scrape, in its own thread."""
        self._latest.make = make

    @property
    def url(self) -> str:
        """What to scrape."""
        host = f"[{self.addr}]" if ":" in self.addr else self.addr
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop serving; the port is free afterwards. Scrapes under way may be cut short."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "Exporter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _port_error(error: Exception, port: int, addr: str) -> PortError:
    what = f"metrics port {port} on {addr}"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return PortInUseError(f"{what} is in use; choose another one, or 0 for any free one")
    reason = getattr(error, "strerror", None) or str(error)
    right = "an address of this machine and a port from 1024 to 65535, or 0 for any free one"
    return PortError(f"{what} cannot be opened: {reason}; choose {right}")
