"""One step of a load balancer's life, by the official client: `traffic.py STEP [ARGUMENT…]`.

Each step ends when its operations have, or, where something becomes healthy by it, when that is so.
"""

import sys

from official import *

PROJECT = {"project": "shop"}
REGIONAL = {**PROJECT, "region": REGION}
ZONAL = {**PROJECT, "zone": ZONE}
SERVICES = {"web": ("TCP", "80"), "dns": ("UDP", "53")}


def group_path(name):
    return f"projects/shop/zones/{ZONE}/networkEndpointGroups/{name}"


def create_group(name, *endpoints):
    """Endpoints are HOST=ADDRESS."""
    resource = {"name": name, "network_endpoint_type": "GCE_VM_IP"}
    network_endpoint_groups.insert(network_endpoint_group_resource=resource, **ZONAL).result()
    attach(name, *endpoints)


def attach(group, *endpoints):
    pairs = [endpoint.split("=") for endpoint in endpoints]
    network_endpoint_groups.attach_network_endpoints(
        network_endpoint_group=group,
        network_endpoint_groups_attach_endpoints_request_resource={
            "network_endpoints": [{"instance": host, "ip_address": address} for host, address in pairs]
        },
        **ZONAL,
    ).result()


def detach(group, address):
    network_endpoint_groups.detach_network_endpoints(
        network_endpoint_group=group,
        network_endpoint_groups_detach_endpoints_request_resource={
            "network_endpoints": [{"ip_address": address}]
        },
        **ZONAL,
    ).result()


def balance(vip, group):
    """A TCP and a UDP service over the group, each with its rule on the address."""
    check = {
        "name": "hc",
        "type_": "HTTP",
        "http_health_check": {"port": 8080, "request_path": "/healthz"},
        "check_interval_sec": 1,
        "timeout_sec": 1,
        "healthy_threshold": 1,
        "unhealthy_threshold": 1,
    }
    region_health_checks.insert(health_check_resource=check, **REGIONAL).result()
    for name, (protocol, port) in SERVICES.items():
        service = {
            "name": name,
            "protocol": protocol,
            "load_balancing_scheme": "INTERNAL",
            "health_checks": [f"projects/shop/regions/{REGION}/healthChecks/hc"],
            "backends": [{"group": group_path(group), "balancing_mode": "CONNECTION"}],
        }
        region_backend_services.insert(backend_service_resource=service, **REGIONAL).result()
        rule = {
            "name": name,
            "I_p_address": vip,
            "I_p_protocol": protocol,
            "ports": [port],
            "load_balancing_scheme": "INTERNAL",
            "backend_service": f"projects/shop/regions/{REGION}/backendServices/{name}",
        }
        forwarding_rules.insert(forwarding_rule_resource=rule, **REGIONAL).result()
    wait_until_healthy(group)


def move(group):
    """A patch that puts the group in the place of all others."""
    for name in SERVICES:
        stored = region_backend_services.get(backend_service=name, **REGIONAL)
        patch = {
            "backends": [{"group": group_path(group), "balancing_mode": "CONNECTION"}],
            "fingerprint": stored.fingerprint,
        }
        region_backend_services.patch(
            backend_service=name, backend_service_resource=patch, **REGIONAL
        ).result()
    wait_until_healthy(group)


def delete_rules():
    for rule in forwarding_rules.list(**REGIONAL):
        forwarding_rules.delete(forwarding_rule=rule.name, **REGIONAL).result()


def wait_until_healthy(group):
    def all_healthy(service):
        health = region_backend_services.get_health(
            backend_service=service, resource_group_reference_resource={"group": group_path(group)}, **REGIONAL
        )
        return all(status.health_state == "HEALTHY" for status in health.health_status)

    for service in SERVICES:
        eventually(lambda: all_healthy(service))
    listed = network_endpoint_groups.list_network_endpoints(
        network_endpoint_group=group,
        network_endpoint_groups_list_endpoints_request_resource={"health_status": "SHOW"},
        **ZONAL,
    )
    states = {health.health_state for item in listed for health in item.healths}
    assert states == {"HEALTHY"}, states


if __name__ == "__main__":
    steps = [create_group, attach, detach, balance, move, delete_rules]
    step, *arguments = sys.argv[1:]
    {step.__name__: step for step in steps}[step](*arguments)
