"""`forwardingRules`."""

import unittest

from official import *


class ForwardingRules(Case):
    def setUp(self):
        super().setUp()
        self.service = self.make_service()

    def get(self, name="vip"):
        return forwarding_rules.get(forwarding_rule=name, **self.regional)

    def test_what_was_inserted_comes_back_with_what_the_server_adds(self):
        path = self.make_rule(self.service, description="front", ports=["80", "443"], allow_global_access=True)
        rule = self.get()
        self.assertEqual((rule.I_p_address, rule.I_p_protocol), (self.vip, "TCP"))
        self.assertEqual(sorted(rule.ports), ["443", "80"])
        self.assertEqual(rule.backend_service, HOST + self.service)
        self.assertEqual((rule.description, rule.allow_global_access), ("front", True))
        self.assertEqual((rule.kind, rule.self_link), ("compute#forwardingRule", HOST + path))
        self.assertTrue(rule.fingerprint and rule.label_fingerprint and rule.id)
        used_by = region_backend_services.get(backend_service="web", **self.regional).used_by
        self.assertEqual([user.reference for user in used_by], [HOST + path])

    def test_names_are_taken_once_and_packets_have_one_rule(self):
        self.make_rule(self.service)
        with self.refused(exceptions.Conflict, "alreadyExists"):
            self.make_rule(self.service)
        with self.refused(exceptions.BadRequest):
            self.make_rule(self.service, "rival")
        with self.refused(exceptions.NotFound, "notFound"):
            self.get("rival")

    def test_every_violation_is_in_the_exception(self):
        with self.refused(exceptions.BadRequest) as refused:
            self.make_rule(
                self.in_region("backendServices/none"),
                I_p_address="10.66.0.300",
                ports=["80", "70000"],
                I_p_protocol="UDPLITE",
                target=self.in_region("targetPools/old"),
            )
        self.assertGreaterEqual(len(refused.error.errors), 4, refused.messages)
        for field in ["resource.IPAddress", "resource.IPProtocol", "resource.target"]:
            self.assertIn(f"'{field}'", refused.messages)
        self.assertIn("resource.ports", refused.messages)

    def test_patch_checks_a_fingerprint_that_is_sent(self):
        self.make_rule(self.service)
        first = self.get()

        def patch(**fields):
            forwarding_rules.patch(
                forwarding_rule="vip", forwarding_rule_resource=fields, **self.regional
            ).result()

        patch(allow_global_access=True, fingerprint=first.fingerprint)
        self.assertTrue(self.get().allow_global_access)
        with self.refused(exceptions.PreconditionFailed, "conditionNotMet"):
            patch(allow_global_access=False, fingerprint=first.fingerprint)
        with self.refused(exceptions.BadRequest, "invalid"):
            patch(I_p_address="10.66.0.99")

    def test_labels_are_set_with_their_fingerprint(self):
        self.make_rule(self.service)
        first = self.get().label_fingerprint

        def set_labels(labels, fingerprint):
            forwarding_rules.set_labels(
                resource="vip",
                region_set_labels_request_resource={"labels": labels, "label_fingerprint": fingerprint},
                **self.regional,
            ).result()

        set_labels({"team": "shop", "tier": "front"}, first)
        self.assertEqual(dict(self.get().labels), {"team": "shop", "tier": "front"})
        with self.refused(exceptions.PreconditionFailed, "conditionNotMet"):
            set_labels({"team": "blog"}, first)
        listed = forwarding_rules.list(request={**self.regional, "filter": "labels.team = shop"})
        self.assertEqual(names(listed), ["vip"])
        set_labels({}, self.get().label_fingerprint)
        self.assertEqual(dict(self.get().labels), {})

    def test_a_target_is_refused(self):
        self.make_rule(self.service)
        target = {"target": self.in_region("targetPools/old")}
        with self.refused(exceptions.BadRequest, "invalid"):
            forwarding_rules.set_target(
                forwarding_rule="vip", target_reference_resource=target, **self.regional
            )
        self.assertEqual(self.get().backend_service, HOST + self.service)

    def test_lists_are_filtered_paged_and_aggregated(self):
        self.make_rule(self.service, "one", ports=["1"])
        self.make_rule(self.service, "three", ports=["3"])
        self.make_rule(self.service, "two", ports=["2"])
        in_pages = forwarding_rules.list(request={**self.regional, "max_results": 1})
        self.assertEqual([names(page.items) for page in in_pages.pages], [["one"], ["three"], ["two"]])
        filtered = forwarding_rules.list(request={**self.regional, "filter": "name eq t.*"})
        self.assertEqual(names(filtered), ["three", "two"])
        by_address = {"project": self.project, "filter": f'IPAddress = "{self.vip}"'}
        found = {scope: names(there.forwarding_rules) for scope, there in forwarding_rules.aggregated_list(by_address)}
        self.assertEqual(found[f"regions/{REGION}"], ["one", "three", "two"])

    def test_a_deleted_rule_is_gone(self):
        self.make_rule(self.service)
        forwarding_rules.delete(forwarding_rule="vip", **self.regional).result()
        with self.refused(exceptions.NotFound, "notFound"):
            self.get()
        with self.refused(exceptions.NotFound, "notFound"):
            forwarding_rules.delete(forwarding_rule="vip", **self.regional)
        self.assertEqual(list(forwarding_rules.list(**self.regional)), [])


if __name__ == "__main__":
    unittest.main()
