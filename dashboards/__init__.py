"""What is watched: Grafana dashboards, Prometheus rules and configuration, the publisher."""
