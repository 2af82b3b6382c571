"""The official clients of the Compute API, unmodified, pointed at the daemon that LB_API names.

Every test case has a project of its own, so that they don't meet; what it made goes away after it.
"""

import atexit
import itertools
import os
import re
import time
import unittest

from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1

REGION = "north-1"
ZONE = "north-1-a"
HOST = "https://www.googleapis.com/compute/v1/"
PATIENCE = 20.0


_called = set()


class _Noted:
    """A client, and a note of which of its methods are called."""

    def __init__(self, inner):
        self._inner = inner
        self._name = re.sub("(?<!^)([A-Z])", r"_\1", type(inner).__name__.removesuffix("Client")).lower()

    def __getattr__(self, method):
        _called.add(f"{self._name}.{method}")
        return getattr(self._inner, method)


def client(kind):
    return _Noted(
        kind(
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": os.environ["LB_API"]},
        )
    )


@atexit.register
def _tell_what_was_called():
    """One line for each method, in the file that LB_CALLS names."""
    if path := os.environ.get("LB_CALLS"):
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{method}\n" for method in sorted(_called))


region_backend_services = client(compute_v1.RegionBackendServicesClient)
backend_services = client(compute_v1.BackendServicesClient)
forwarding_rules = client(compute_v1.ForwardingRulesClient)
region_health_checks = client(compute_v1.RegionHealthChecksClient)
health_checks = client(compute_v1.HealthChecksClient)
network_endpoint_groups = client(compute_v1.NetworkEndpointGroupsClient)
instance_groups = client(compute_v1.InstanceGroupsClient)
instances = client(compute_v1.InstancesClient)
region_operations = client(compute_v1.RegionOperationsClient)
zone_operations = client(compute_v1.ZoneOperationsClient)
global_operations = client(compute_v1.GlobalOperationsClient)

_numbers = itertools.count(100)


def names(items):
    return [item.name for item in items]


def reasons(error):
    """The `reason` of each entry of `errors[]`, as the client's own exception keeps them."""
    return [entry["reason"] for entry in error.errors]


def messages(error):
    return "\n".join(entry["message"] for entry in error.errors)


def eventually(condition):
    """Asks until the answer is true, within a bound; the answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s")
        time.sleep(0.02)
    return answer


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        name = re.sub("[^a-z0-9]+", "-", self._testMethodName.removeprefix("test_"))
        self.project = name[:60].strip("-")
        self.vip = f"10.66.0.{next(_numbers)}"
        self.addCleanup(self.clear)

    @property
    def regional(self):
        return {"project": self.project, "region": REGION}

    @property
    def zonal(self):
        return {"project": self.project, "zone": ZONE}

    def path(self, rest):
        return f"projects/{self.project}/{rest}"

    def in_region(self, rest):
        return self.path(f"regions/{REGION}/{rest}")

    def in_zone(self, rest):
        return self.path(f"zones/{ZONE}/{rest}")

    def refused(self, kind, *expected_reasons):
        """A block that has to end in this exception; with reasons, in exactly these."""
        return _Refused(self, kind, list(expected_reasons))

    # What most tests begin with; each waits for its operation.

    def make_health_check(self, name="hc", **fields):
        resource = {"name": name, "type": "TCP", "tcp_health_check": {"port": 80}, **fields}
        region_health_checks.insert(health_check_resource=resource, **self.regional).result()
        return self.in_region(f"healthChecks/{name}")

    def make_group(self, name="neg", endpoints=()):
        resource = {"name": name, "network_endpoint_type": "GCE_VM_IP"}
        network_endpoint_groups.insert(network_endpoint_group_resource=resource, **self.zonal).result()
        if endpoints:
            self.attach(name, endpoints)
        return self.in_zone(f"networkEndpointGroups/{name}")

    def attach(self, group, endpoints):
        network_endpoint_groups.attach_network_endpoints(
            network_endpoint_group=group,
            network_endpoint_groups_attach_endpoints_request_resource={"network_endpoints": endpoints},
            **self.zonal,
        ).result()

    def make_service(self, name="web", **fields):
        resource = {"name": name, "protocol": "TCP", "load_balancing_scheme": "INTERNAL", **fields}
        region_backend_services.insert(backend_service_resource=resource, **self.regional).result()
        return self.in_region(f"backendServices/{name}")

    def make_rule(self, service, name="vip", **fields):
        resource = {
            "name": name,
            "I_p_address": self.vip,
            "I_p_protocol": "TCP",
            "ports": ["80"],
            "load_balancing_scheme": "INTERNAL",
            "backend_service": service,
            **fields,
        }
        forwarding_rules.insert(forwarding_rule_resource=resource, **self.regional).result()
        return self.in_region(f"forwardingRules/{name}")

    def clear(self):
        """Takes away what is left, users before what they use."""
        for rule in forwarding_rules.list(**self.regional):
            forwarding_rules.delete(forwarding_rule=rule.name, **self.regional).result()
        for service in region_backend_services.list(**self.regional):
            region_backend_services.delete(backend_service=service.name, **self.regional).result()
        for check in region_health_checks.list(**self.regional):
            region_health_checks.delete(health_check=check.name, **self.regional).result()
        for check in health_checks.list(project=self.project):
            health_checks.delete(health_check=check.name, project=self.project).result()
        for group in network_endpoint_groups.list(**self.zonal):
            network_endpoint_groups.delete(network_endpoint_group=group.name, **self.zonal).result()
        for group in instance_groups.list(**self.zonal):
            instance_groups.delete(instance_group=group.name, **self.zonal).result()
        for instance in instances.list(**self.zonal):
            instances.delete(instance=instance.name, **self.zonal).result()


class _Refused:
    def __init__(self, case, kind, expected):
        self.case, self.kind, self.expected = case, kind, expected
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.case.assertIs(kind, self.kind, f"{kind}: {error}")
        self.error = error
        if self.expected:
            self.case.assertEqual(reasons(error), self.expected, error)
        return True

    @property
    def messages(self):
        return messages(self.error)


__all__ = [name for name in dir() if not name.startswith("_")]
