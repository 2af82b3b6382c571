"""`networkEndpointGroups`, `instanceGroups` and `instances`."""

import unittest

from official import *


def addresses(items):
    return sorted(item.network_endpoint.ip_address for item in items)


class NetworkEndpointGroups(Case):
    def get(self, name="neg"):
        return network_endpoint_groups.get(network_endpoint_group=name, **self.zonal)

    def detach(self, endpoints, group="neg"):
        network_endpoint_groups.detach_network_endpoints(
            network_endpoint_group=group,
            network_endpoint_groups_detach_endpoints_request_resource={"network_endpoints": endpoints},
            **self.zonal,
        ).result()

    def endpoints(self, health="SKIP", **options):
        request = {
            **self.zonal,
            "network_endpoint_group": "neg",
            "network_endpoint_groups_list_endpoints_request_resource": {"health_status": health},
            **options,
        }
        return network_endpoint_groups.list_network_endpoints(request=request)

    def test_what_was_inserted_comes_back_with_what_the_server_adds(self):
        resource = {
            "name": "neg",
            "network_endpoint_type": "GCE_VM_IP",
            "description": "rack 4",
            "annotations": {"lb/delivery": "l2"},
        }
        network_endpoint_groups.insert(network_endpoint_group_resource=resource, **self.zonal).result()
        group = self.get()
        self.assertEqual((group.description, dict(group.annotations)), ("rack 4", {"lb/delivery": "l2"}))
        self.assertEqual(group.network_endpoint_type, "GCE_VM_IP")
        self.assertEqual(group.kind, "compute#networkEndpointGroup")
        self.assertEqual(group.self_link, HOST + self.in_zone("networkEndpointGroups/neg"))
        self.assertEqual(group.zone, HOST + self.path(f"zones/{ZONE}"))
        self.assertEqual(group.size, 0)
        with self.refused(exceptions.Conflict, "alreadyExists"):
            self.make_group()

    def test_endpoints_come_and_go(self):
        self.make_group()
        one = {"instance": "host-1", "ip_address": "10.66.0.11"}
        two = {"instance": "host-2", "ip_address": "10.66.0.12"}
        self.attach("neg", [one, two])
        self.assertEqual(addresses(self.endpoints()), ["10.66.0.11", "10.66.0.12"])
        self.assertEqual(self.get().size, 2)
        self.attach("neg", [one])
        pages = self.endpoints(max_results=1).pages
        self.assertEqual([addresses(page.items) for page in pages], [["10.66.0.11"], ["10.66.0.12"]])
        listed = list(self.endpoints(filter='networkEndpoint.ipAddress = "10.66.0.12"'))
        self.assertEqual(addresses(listed), ["10.66.0.12"])
        self.detach([one])
        self.assertEqual(addresses(self.endpoints()), ["10.66.0.12"])
        with self.refused(exceptions.BadRequest):
            self.detach([one])
        with self.refused(exceptions.BadRequest) as refused:
            self.attach("neg", [{"instance": "host-3", "ip_address": "nowhere"}, {"ip_address": "10.66.0.999"}])
        self.assertGreaterEqual(len(refused.error.errors), 2)
        with self.refused(exceptions.NotFound, "notFound"):
            self.attach("none", [one])

    def test_endpoints_are_listed_with_their_health(self):
        group = self.make_group(endpoints=[{"instance": "host-1", "ip_address": "10.66.0.11"}])
        self.assertEqual([list(item.healths) for item in self.endpoints("SHOW")], [[]])
        check = self.make_health_check(check_interval_sec=1, timeout_sec=1, unhealthy_threshold=1)
        service = self.make_service(
            health_checks=[check], backends=[{"group": group, "balancing_mode": "CONNECTION"}]
        )
        # Nobody is at the address.
        [item] = self.endpoints("SHOW")
        self.assertEqual([health.health_state for health in item.healths], ["UNHEALTHY"])
        self.assertEqual([health.backend_service.backend_service for health in item.healths], [HOST + service])
        self.assertEqual([list(item.healths) for item in self.endpoints("SKIP")], [[]])

    def test_permissions_are_told(self):
        self.make_group()
        held = network_endpoint_groups.test_iam_permissions(
            resource="neg",
            test_permissions_request_resource={"permissions": ["compute.networkEndpointGroups.attachNetworkEndpoints"]},
            **self.zonal,
        )
        self.assertEqual(list(held.permissions), ["compute.networkEndpointGroups.attachNetworkEndpoints"])

    def test_lists_are_filtered_paged_and_aggregated(self):
        for name in ["a", "b", "c"]:
            self.make_group(name)
        pages = network_endpoint_groups.list(request={**self.zonal, "max_results": 1}).pages
        self.assertEqual([names(page.items) for page in pages], [["a"], ["b"], ["c"]])
        filtered = network_endpoint_groups.list(request={**self.zonal, "filter": 'name != "b"'})
        self.assertEqual(names(filtered), ["a", "c"])
        found = network_endpoint_groups.aggregated_list(project=self.project)
        scopes = {scope: names(there.network_endpoint_groups) for scope, there in found}
        self.assertEqual(scopes[f"zones/{ZONE}"], ["a", "b", "c"])

    def test_a_deleted_group_is_gone(self):
        self.make_group()
        network_endpoint_groups.delete(network_endpoint_group="neg", **self.zonal).result()
        with self.refused(exceptions.NotFound, "notFound"):
            self.get()
        with self.refused(exceptions.NotFound, "notFound"):
            network_endpoint_groups.delete(network_endpoint_group="neg", **self.zonal)


class InstanceGroups(Case):
    def setUp(self):
        super().setUp()
        for number in [1, 2]:
            interface = {"network_i_p": f"10.66.0.{10 + number}"}
            resource = {"name": f"host-{number}", "network_interfaces": [interface]}
            instances.insert(instance_resource=resource, **self.zonal).result()

    def insert(self, name="rack", **fields):
        resource = {"name": name, **fields}
        instance_groups.insert(instance_group_resource=resource, **self.zonal).result()

    def add(self, *hosts):
        members = [{"instance": self.in_zone(f"instances/{host}")} for host in hosts]
        instance_groups.add_instances(
            instance_group="rack",
            instance_groups_add_instances_request_resource={"instances": members},
            **self.zonal,
        ).result()

    def remove(self, *hosts):
        members = [{"instance": self.in_zone(f"instances/{host}")} for host in hosts]
        instance_groups.remove_instances(
            instance_group="rack",
            instance_groups_remove_instances_request_resource={"instances": members},
            **self.zonal,
        ).result()

    def members(self, **options):
        request = {
            **self.zonal,
            "instance_group": "rack",
            "instance_groups_list_instances_request_resource": {},
            **options,
        }
        listed = instance_groups.list_instances(request=request)
        return [(item.instance.rsplit("/", 1)[1], item.status) for item in listed]

    def test_members_come_and_go(self):
        self.insert(description="rack 4")
        group = instance_groups.get(instance_group="rack", **self.zonal)
        self.assertEqual((group.description, group.kind), ("rack 4", "compute#instanceGroup"))
        self.add("host-1", "host-2")
        self.assertEqual(instance_groups.get(instance_group="rack", **self.zonal).size, 2)
        both = [("host-1", "RUNNING"), ("host-2", "RUNNING")]
        self.assertEqual(self.members(), both)
        self.assertEqual(self.members(max_results=1), both)
        with self.refused(exceptions.BadRequest, "memberAlreadyExists"):
            self.add("host-1")
        self.remove("host-1")
        self.assertEqual(self.members(), [("host-2", "RUNNING")])
        with self.refused(exceptions.BadRequest, "memberNotFound"):
            self.remove("host-1")
        with self.refused(exceptions.BadRequest):
            self.add("nobody")

    def test_a_service_balances_over_it_and_holds_it(self):
        self.insert()
        self.add("host-1")
        group = self.in_zone("instanceGroups/rack")
        self.make_service(
            health_checks=[self.make_health_check()], backends=[{"group": group, "balancing_mode": "CONNECTION"}]
        )
        health = region_backend_services.get_health(
            backend_service="web", resource_group_reference_resource={"group": group}, **self.regional
        )
        self.assertEqual(health.kind, "compute#backendServiceGroupHealth")
        [status] = health.health_status
        self.assertEqual((status.ip_address, status.health_state), ("10.66.0.11", "UNHEALTHY"))
        self.assertEqual(status.instance, HOST + self.in_zone("instances/host-1"))
        with self.refused(exceptions.BadRequest, "resourceInUseByAnotherResource"):
            instance_groups.delete(instance_group="rack", **self.zonal)

    def test_lists_are_filtered_paged_and_aggregated(self):
        for name in ["a", "b", "c"]:
            self.insert(name)
        pages = instance_groups.list(request={**self.zonal, "max_results": 1}).pages
        self.assertEqual([names(page.items) for page in pages], [["a"], ["b"], ["c"]])
        filtered = instance_groups.list(request={**self.zonal, "filter": "name eq [ab]"})
        self.assertEqual(names(filtered), ["a", "b"])
        found = instance_groups.aggregated_list(project=self.project)
        scopes = {scope: names(there.instance_groups) for scope, there in found}
        self.assertEqual(scopes[f"zones/{ZONE}"], ["a", "b", "c"])
        with self.refused(exceptions.Conflict, "alreadyExists"):
            self.insert("a")
        instance_groups.delete(instance_group="a", **self.zonal).result()
        with self.refused(exceptions.NotFound, "notFound"):
            instance_groups.get(instance_group="a", **self.zonal)

    def test_instances_have_a_name_and_addresses(self):
        instance = instances.get(instance="host-1", **self.zonal)
        self.assertEqual(instance.self_link, HOST + self.in_zone("instances/host-1"))
        self.assertEqual([nic.network_i_p for nic in instance.network_interfaces], ["10.66.0.11"])
        pages = instances.list(request={**self.zonal, "max_results": 1}).pages
        self.assertEqual([names(page.items) for page in pages], [["host-1"], ["host-2"]])
        self.insert()
        self.add("host-1")
        with self.refused(exceptions.BadRequest, "resourceInUseByAnotherResource"):
            instances.delete(instance="host-1", **self.zonal)
        self.remove("host-1")
        instances.delete(instance="host-1", **self.zonal).result()
        with self.refused(exceptions.NotFound, "notFound"):
            instances.get(instance="host-1", **self.zonal)
        with self.refused(exceptions.Conflict, "alreadyExists"):
            interface = {"network_i_p": "10.66.0.13"}
            instances.insert(
                instance_resource={"name": "host-2", "network_interfaces": [interface]}, **self.zonal
            )


if __name__ == "__main__":
    unittest.main()
