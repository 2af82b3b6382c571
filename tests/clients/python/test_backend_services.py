"""`regionBackendServices`, and `backendServices` where it is aggregated."""

import unittest
import uuid

from official import *


class BackendServices(Case):
    def test_what_was_inserted_comes_back_with_what_the_server_adds(self):
        check = self.make_health_check()
        group = self.make_group()
        self.make_service(
            description="the front page",
            health_checks=[check],
            backends=[{"group": group, "balancing_mode": "CONNECTION", "failover": False}],
            session_affinity="CLIENT_IP",
            connection_draining={"draining_timeout_sec": 45},
            failover_policy={"failover_ratio": 0.25, "drop_traffic_if_unhealthy": True},
            connection_tracking_policy={
                "tracking_mode": "PER_SESSION",
                "connection_persistence_on_unhealthy_backends": "NEVER_PERSIST",
                "idle_timeout_sec": 1200,
            },
        )
        service = region_backend_services.get(backend_service="web", **self.regional)
        self.assertEqual(service.description, "the front page")
        self.assertEqual(service.health_checks, [HOST + check])
        self.assertEqual([backend.group for backend in service.backends], [HOST + group])
        self.assertEqual(service.session_affinity, "CLIENT_IP")
        self.assertEqual(service.connection_draining.draining_timeout_sec, 45)
        self.assertEqual(service.failover_policy.failover_ratio, 0.25)
        self.assertTrue(service.failover_policy.drop_traffic_if_unhealthy)
        tracking = service.connection_tracking_policy
        self.assertEqual((tracking.tracking_mode, tracking.idle_timeout_sec), ("PER_SESSION", 1200))

        self.assertEqual(service.kind, "compute#backendService")
        self.assertGreater(service.id, 0)
        self.assertEqual(service.self_link, HOST + self.in_region("backendServices/web"))
        self.assertEqual(service.region, HOST + self.path(f"regions/{REGION}"))
        self.assertRegex(service.creation_timestamp, r"^\d{4}-\d\d-\d\dT")
        self.assertTrue(service.fingerprint)
        self.assertEqual(service.timeout_sec, 30)

    def test_an_operation_is_done_when_it_is_answered(self):
        resource = {
            "name": "web",
            "load_balancing_scheme": "INTERNAL",
            "health_checks": [self.make_health_check()],
        }
        operation = region_backend_services.insert(backend_service_resource=resource, **self.regional)
        self.assertTrue(operation.done())
        operation.result(timeout=5)
        self.assertEqual(operation.error_code, 0)
        self.assertFalse(operation.warnings)

    def test_names_are_taken_once_and_missing_ones_not_found(self):
        self.make_service()
        with self.refused(exceptions.Conflict, "alreadyExists"):
            self.make_service()
        with self.refused(exceptions.NotFound, "notFound") as refused:
            region_backend_services.get(backend_service="blog", **self.regional)
        path = self.in_region("backendServices/blog")
        self.assertIn(f"The resource '{path}' was not found", str(refused.error))
        with self.refused(exceptions.NotFound, "notFound"):
            region_backend_services.delete(backend_service="blog", **self.regional)

    def test_every_violation_is_in_the_exception(self):
        with self.refused(exceptions.BadRequest) as refused:
            self.make_service(
                protocol="HTTP",
                failover_policy={"failover_ratio": 1.5},
                connection_draining={"draining_timeout_sec": 3601},
                health_checks=[self.in_region("healthChecks/none")],
                enable_c_d_n=True,
            )
        for field in [
            "resource.protocol",
            "resource.failoverPolicy.failoverRatio",
            "resource.connectionDraining.drainingTimeoutSec",
            "resource.enableCDN",
        ]:
            self.assertIn(f"Invalid value for field '{field}'", refused.messages)
        self.assertIn("healthChecks/none", refused.messages)
        self.assertEqual(len(refused.error.errors), 5, refused.messages)
        self.assertEqual(list(region_backend_services.list(**self.regional)), [])

    def test_update_needs_the_current_fingerprint(self):
        self.make_service(description="one")
        service = region_backend_services.get(backend_service="web", **self.regional)
        first = service.fingerprint

        service.description = "two"
        region_backend_services.update(
            backend_service="web", backend_service_resource=service, **self.regional
        ).result()
        stored = region_backend_services.get(backend_service="web", **self.regional)
        self.assertEqual(stored.description, "two")
        self.assertEqual(stored.id, service.id)
        self.assertNotEqual(stored.fingerprint, first)

        service.description = "three"
        with self.refused(exceptions.PreconditionFailed, "conditionNotMet"):
            region_backend_services.update(
                backend_service="web", backend_service_resource=service, **self.regional
            )
        service.fingerprint = ""
        with self.refused(exceptions.PreconditionFailed, "conditionNotMet"):
            region_backend_services.update(
                backend_service="web", backend_service_resource=service, **self.regional
            )
        self.assertEqual(
            region_backend_services.get(backend_service="web", **self.regional).description, "two"
        )

    def test_patch_checks_a_fingerprint_that_is_sent(self):
        self.make_service(description="one", session_affinity="CLIENT_IP")

        def patch(**fields):
            region_backend_services.patch(
                backend_service="web", backend_service_resource=fields, **self.regional
            ).result()
            return region_backend_services.get(backend_service="web", **self.regional)

        first = region_backend_services.get(backend_service="web", **self.regional)
        second = patch(description="two", fingerprint=first.fingerprint)
        self.assertEqual((second.description, second.session_affinity), ("two", "CLIENT_IP"))
        with self.refused(exceptions.PreconditionFailed, "conditionNotMet"):
            patch(description="three", fingerprint=first.fingerprint)
        third = patch(session_affinity="NONE")
        self.assertEqual((third.description, third.session_affinity), ("two", "NONE"))
        with self.refused(exceptions.NotFound, "notFound"):
            region_backend_services.patch(
                backend_service="blog", backend_service_resource={"description": "x"}, **self.regional
            )

    def test_a_request_id_makes_a_change_once(self):
        request = {
            "project": self.project,
            "region": REGION,
            "request_id": str(uuid.uuid4()),
            "backend_service_resource": {"name": "web", "load_balancing_scheme": "INTERNAL"},
        }
        first = region_backend_services.insert(request=request)
        again = region_backend_services.insert(request=request)
        self.assertEqual(first.name, again.name)
        with self.refused(exceptions.Conflict, "alreadyExists"):
            region_backend_services.insert(request={**request, "request_id": str(uuid.uuid4())})
        other = {"name": "blog", "load_balancing_scheme": "INTERNAL"}
        with self.refused(exceptions.BadRequest, "invalid"):
            region_backend_services.insert(request={**request, "backend_service_resource": other})

    def test_lists_are_filtered_ordered_and_paged(self):
        for name in ["web-1", "web-2", "blog"]:
            self.make_service(name, description=f"serves {name}", protocol="UDP" if name == "blog" else "TCP")

        def listed(**options):
            request = {**self.regional, **options}
            return names(region_backend_services.list(request=request))

        self.assertEqual(listed(), ["blog", "web-1", "web-2"])
        self.assertEqual(listed(max_results=1), ["blog", "web-1", "web-2"])
        pages = region_backend_services.list(request={**self.regional, "max_results": 2}).pages
        self.assertEqual([names(page.items) for page in pages], [["blog", "web-1"], ["web-2"]])
        self.assertEqual(listed(filter='name = "web-1"'), ["web-1"])
        self.assertEqual(listed(filter='name = "web-*" AND protocol = TCP', max_results=1), ["web-1", "web-2"])
        self.assertEqual(listed(filter="name eq web-.*"), ["web-1", "web-2"])
        self.assertEqual(listed(filter="name ne web-.*"), ["blog"])
        self.assertEqual(listed(filter='description : "blog"'), ["blog"])
        self.assertEqual(listed(filter='name = "none"'), [])
        newest_first = listed(order_by="creationTimestamp desc", max_results=1)
        self.assertEqual(newest_first, ["blog", "web-2", "web-1"])
        self.assertEqual(listed(order_by="name"), ["blog", "web-1", "web-2"])
        with self.refused(exceptions.BadRequest, "invalid", "invalid", "invalid"):
            listed(filter="nosuchfield = 1", order_by="protocol", max_results=501)

    def test_aggregated_lists_name_every_scope_with_something(self):
        self.make_service("web")
        resource = {"name": "dns", "protocol": "UDP", "load_balancing_scheme": "INTERNAL"}
        elsewhere = {"project": self.project, "region": "south-1"}
        region_backend_services.insert(backend_service_resource=resource, **elsewhere).result()
        self.addCleanup(
            lambda: region_backend_services.delete(backend_service="dns", **elsewhere).result()
        )

        def scopes(**options):
            request = {"project": self.project, **options}
            found = backend_services.aggregated_list(request=request)
            return {scope: names(there.backend_services) for scope, there in found if there.backend_services}

        everything = {f"regions/{REGION}": ["web"], "regions/south-1": ["dns"]}
        self.assertEqual(scopes(), everything)
        self.assertEqual(scopes(max_results=1), everything)
        self.assertEqual(scopes(filter="protocol = UDP", include_all_scopes=True), {"regions/south-1": ["dns"]})

    def test_passthrough_services_are_not_usable_by_url_maps(self):
        self.make_service()
        self.assertEqual(list(region_backend_services.list_usable(**self.regional)), [])

    def test_a_policy_of_access_is_kept(self):
        self.make_service()
        of_web = {"resource": "web", **self.regional}
        empty = region_backend_services.get_iam_policy(**of_web)
        self.assertEqual(len(empty.bindings), 0)
        binding = {"role": "roles/compute.viewer", "members": ["user:ada@example.com"]}
        kept = region_backend_services.set_iam_policy(
            region_set_policy_request_resource={"policy": {"etag": empty.etag, "bindings": [binding]}},
            **of_web,
        )
        self.assertEqual([b.role for b in kept.bindings], ["roles/compute.viewer"])
        again = region_backend_services.get_iam_policy(**of_web)
        self.assertEqual((again.etag, list(again.bindings[0].members)), (kept.etag, ["user:ada@example.com"]))
        with self.refused(exceptions.Conflict):
            region_backend_services.set_iam_policy(
                region_set_policy_request_resource={"policy": {"etag": empty.etag, "bindings": []}},
                **of_web,
            )
        asked = ["compute.regionBackendServices.get", "compute.regionBackendServices.delete"]
        held = region_backend_services.test_iam_permissions(
            test_permissions_request_resource={"permissions": asked}, **of_web
        )
        self.assertEqual(sorted(held.permissions), sorted(asked))

    def test_a_security_policy_can_only_be_taken_away(self):
        self.make_service()
        nothing = {"security_policy": ""}
        region_backend_services.set_security_policy(
            backend_service="web", security_policy_reference_resource=nothing, **self.regional
        ).result()
        some = {"security_policy": self.in_region("securityPolicies/wall")}
        with self.refused(exceptions.BadRequest, "invalid"):
            region_backend_services.set_security_policy(
                backend_service="web", security_policy_reference_resource=some, **self.regional
            )

    def test_what_is_in_use_is_deleted_after_its_users(self):
        check = self.make_health_check()
        group = self.make_group()
        service = self.make_service(
            health_checks=[check], backends=[{"group": group, "balancing_mode": "CONNECTION"}]
        )
        self.make_rule(service)
        used = [
            lambda: region_backend_services.delete(backend_service="web", **self.regional),
            lambda: region_health_checks.delete(health_check="hc", **self.regional),
            lambda: network_endpoint_groups.delete(network_endpoint_group="neg", **self.zonal),
        ]
        for delete in used:
            with self.refused(exceptions.BadRequest, "resourceInUseByAnotherResource"):
                delete()
        forwarding_rules.delete(forwarding_rule="vip", **self.regional).result()
        for delete in used:
            delete().result()
        for delete in used:
            with self.refused(exceptions.NotFound, "notFound"):
                delete()


if __name__ == "__main__":
    unittest.main()
