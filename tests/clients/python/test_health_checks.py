"""`regionHealthChecks` and `healthChecks`: the same resource in two places."""

import unittest

from official import *

TYPES = {
    "TCP": ("tcp_health_check", {"port": 80, "request": "ping", "response": "pong", "proxy_header": "NONE"}),
    "SSL": ("ssl_health_check", {"port": 443, "proxy_header": "PROXY_V1"}),
    "HTTP": ("http_health_check", {"port": 80, "request_path": "/healthz", "host": "shop.example"}),
    "HTTPS": ("https_health_check", {"port": 443, "request_path": "/", "response": "ok"}),
    "HTTP2": ("http2_health_check", {"port": 443, "request_path": "/"}),
    "GRPC": ("grpc_health_check", {"port": 50051, "grpc_service_name": "shop.v1.Cart"}),
    "GRPC_WITH_TLS": ("grpc_tls_health_check", {"port": 50052, "grpc_service_name": "shop.v1.Cart"}),
}


class Common:
    """What both places have in common; each says how its client is called."""

    def test_every_type_comes_back_as_it_was_inserted(self):
        for kind, (field, settings) in TYPES.items():
            name = kind.lower().replace("_", "-")
            self.insert({"name": name, "type_": kind, field: settings})
            stored = self.get(name)
            self.assertEqual((stored.type_, stored.kind), (kind, "compute#healthCheck"))
            inside = getattr(stored, field)
            self.assertEqual({key: getattr(inside, key) for key in settings}, settings)
            defaults = (stored.check_interval_sec, stored.timeout_sec)
            thresholds = (stored.healthy_threshold, stored.unhealthy_threshold)
            self.assertEqual((defaults, thresholds), ((5, 5), (2, 2)))
        self.assertEqual(len(names(self.list())), len(TYPES))

    def test_update_replaces_and_patch_merges(self):
        self.insert(self.tcp("hc", description="one", check_interval_sec=7))
        self.patch("hc", {"timeout_sec": 3})
        stored = self.get("hc")
        self.assertEqual((stored.description, stored.check_interval_sec, stored.timeout_sec), ("one", 7, 3))
        self.update("hc", self.tcp("hc", timeout_sec=2))
        stored = self.get("hc")
        self.assertEqual((stored.description, stored.check_interval_sec, stored.timeout_sec), ("", 5, 2))
        with self.refused(exceptions.NotFound, "notFound"):
            self.patch("none", {"timeout_sec": 3})
        with self.refused(exceptions.NotFound, "notFound"):
            self.update("none", self.tcp("none"))

    def test_every_violation_is_in_the_exception(self):
        with self.refused(exceptions.BadRequest) as refused:
            self.insert(
                {
                    "name": "hc",
                    "type_": "HTTP",
                    "http_health_check": {"port": 70000},
                    "check_interval_sec": 301,
                    "timeout_sec": 302,
                    "healthy_threshold": 11,
                }
            )
        for field in ["httpHealthCheck.port", "checkIntervalSec", "timeoutSec", "healthyThreshold"]:
            self.assertIn(f"'resource.{field}'", refused.messages)
        with self.refused(exceptions.NotFound, "notFound"):
            self.get("hc")

    def test_names_are_taken_once_and_free_after_delete(self):
        self.insert(self.tcp("hc"))
        with self.refused(exceptions.Conflict, "alreadyExists"):
            self.insert(self.tcp("hc"))
        self.delete("hc")
        with self.refused(exceptions.NotFound, "notFound"):
            self.delete("hc")
        self.insert(self.tcp("hc"))

    def test_lists_are_filtered_ordered_and_paged(self):
        for name, interval in [("fast", 1), ("medium", 10), ("slow", 60)]:
            self.insert(self.tcp(name, check_interval_sec=interval, timeout_sec=1))
        self.assertEqual([names(page.items) for page in self.list(max_results=2).pages], [["fast", "medium"], ["slow"]])
        self.assertEqual(names(self.list(filter="checkIntervalSec > 1")), ["medium", "slow"])
        self.assertEqual(names(self.list(filter='name != "slow"', max_results=1)), ["fast", "medium"])
        self.assertEqual(names(self.list(order_by="creationTimestamp desc")), ["slow", "medium", "fast"])

    def tcp(self, name, **fields):
        return {"name": name, "type_": "TCP", "tcp_health_check": {"port": 80}, **fields}


class Regional(Common, Case):
    def insert(self, resource):
        region_health_checks.insert(health_check_resource=resource, **self.regional).result()

    def get(self, name):
        return region_health_checks.get(health_check=name, **self.regional)

    def list(self, **options):
        return region_health_checks.list(request={**self.regional, **options})

    def patch(self, name, resource):
        region_health_checks.patch(
            health_check=name, health_check_resource=resource, **self.regional
        ).result()

    def update(self, name, resource):
        region_health_checks.update(
            health_check=name, health_check_resource=resource, **self.regional
        ).result()

    def delete(self, name):
        region_health_checks.delete(health_check=name, **self.regional).result()


class Global(Common, Case):
    @property
    def everywhere(self):
        return {"project": self.project}

    def insert(self, resource):
        health_checks.insert(health_check_resource=resource, **self.everywhere).result()

    def get(self, name):
        return health_checks.get(health_check=name, **self.everywhere)

    def list(self, **options):
        return health_checks.list(request={**self.everywhere, **options})

    def patch(self, name, resource):
        health_checks.patch(health_check=name, health_check_resource=resource, **self.everywhere).result()

    def update(self, name, resource):
        health_checks.update(health_check=name, health_check_resource=resource, **self.everywhere).result()

    def delete(self, name):
        health_checks.delete(health_check=name, **self.everywhere).result()

    def test_an_internal_service_may_use_it_and_an_external_one_not(self):
        self.insert(self.tcp("hc"))
        path = self.path("global/healthChecks/hc")
        self.make_service(health_checks=[path])
        stored = region_backend_services.get(backend_service="web", **self.regional)
        self.assertEqual(stored.health_checks, [HOST + path])
        with self.refused(exceptions.BadRequest, "resourceInUseByAnotherResource"):
            self.delete("hc")
        with self.refused(exceptions.BadRequest, "invalid"):
            self.make_service("edge", load_balancing_scheme="EXTERNAL", health_checks=[path])

    def test_aggregated_lists_have_both_places(self):
        self.insert(self.tcp("hc"))
        self.make_health_check("hc")
        found = health_checks.aggregated_list(project=self.project)
        scopes = {scope: names(there.health_checks) for scope, there in found if there.health_checks}
        self.assertEqual(scopes, {"global": ["hc"], f"regions/{REGION}": ["hc"]})


if __name__ == "__main__":
    unittest.main()
