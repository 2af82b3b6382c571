"""`regionOperations`, `zoneOperations` and `globalOperations`."""

import unittest

from official import *


class Operations(Case):
    def check(self, client, where, operation, kind, target):
        found = client.get(operation=operation.name, **where)
        self.assertEqual((found.name, found.operation_type), (operation.name, kind))
        self.assertEqual(found.target_link, HOST + target)
        self.assertEqual(found.status.name, "DONE")
        self.assertEqual(found.progress, 100)
        self.assertEqual(client.wait(operation=operation.name, **where).name, operation.name)
        everything = names(client.list(**where))
        self.assertIn(operation.name, everything)
        self.assertEqual(names(client.list(request={**where, "max_results": 1})), everything)
        filtered = client.list(request={**where, "filter": f'name = "{operation.name}"'})
        self.assertEqual(names(filtered), [operation.name])
        by_type = client.list(request={**where, "filter": f"operationType != {kind}"})
        self.assertNotIn(operation.name, names(by_type))
        client.delete(operation=operation.name, **where)
        self.assertNotIn(operation.name, names(client.list(**where)))
        for gone in [client.get, client.wait, client.delete]:
            with self.refused(exceptions.NotFound, "notFound"):
                gone(operation=operation.name, **where)

    def test_of_a_region(self):
        self.make_health_check("other")
        resource = {"name": "hc", "type_": "TCP", "tcp_health_check": {"port": 80}}
        operation = region_health_checks.insert(health_check_resource=resource, **self.regional)
        target = self.in_region("healthChecks/hc")
        self.check(region_operations, self.regional, operation, "insert", target)

    def test_of_a_zone(self):
        self.make_group()
        operation = network_endpoint_groups.delete(network_endpoint_group="neg", **self.zonal)
        target = self.in_zone("networkEndpointGroups/neg")
        self.check(zone_operations, self.zonal, operation, "delete", target)

    def test_of_no_place(self):
        resource = {"name": "hc", "type_": "TCP", "tcp_health_check": {"port": 80}}
        everywhere = {"project": self.project}
        health_checks.insert(health_check_resource=resource, **everywhere).result()
        patch = {"description": "new"}
        operation = health_checks.patch(health_check="hc", health_check_resource=patch, **everywhere)
        target = self.path("global/healthChecks/hc")
        self.check(global_operations, everywhere, operation, "patch", target)


if __name__ == "__main__":
    unittest.main()
