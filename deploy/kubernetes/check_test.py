"""Breaks good overlays in one place at a time, to show that check.py says so."""

import copy
import unittest

import check
import references

POD = "spec template spec"
LABEL = "app.kubernetes.io/name"
IN = "matchExpressions 0 values"
NO_PODS = "pods that are not there"

# An object of an overlay, the path of a value in it, what stands there instead (None: nothing), and what is to be said.
REFERENCES = [
    ("Deployment store-host", f"{POD} containers 0 envFrom 1 configMapRef name", "x", "takes settings from x"),
    ("Deployment store-proxy", f"{POD} volumes 0 configMap name", "x", "takes settings from x"),
    ("SpinApp store", "spec variables 0 valueFrom configMapKeyRef name", "x", "takes settings from x"),
    ("SpinApp store", "spec variables 0 valueFrom configMapKeyRef key", "X", "has no such setting"),
    ("SpinApp store", "spec variables 0 name", "x", "sets x, which spin.toml does not declare"),
    ("Redis store-redis", "spec kubernetesConfig redisSecret key", "x", "asks store-secrets for x"),
    ("MariaDB store-mariadb", "spec passwordSecretKeyRef key", "x", "asks store-secrets for x"),
    ("SpinApp store", "spec variables 3 valueFrom secretKeyRef key", "x", "asks store-secrets for x"),
    ("Deployment store-host", f"{POD} volumes 0 secret items 0 key", "x", "asks store-secrets for x"),
    ("Deployment store-host", f"{POD} volumes 0 secret items", None, "is given every secret"),
    ("Deployment store-host", f"{POD} volumes 0 secret items 0 path", "x", "/admin_token, which it has not"),
    ("Job store-migrate", f"{POD} containers 0 env", [], "mysql_password, which it is not to read"),
    ("Deployment store-host", f"{POD} containers 0 livenessProbe httpGet port", "x", "x for its livenessProbe"),
    ("Deployment store-proxy", f"spec selector matchLabels {LABEL}", "x", f"is for {NO_PODS}"),
    ("PodDisruptionBudget store-host", f"spec selector matchLabels {LABEL}", "x", f"is for {NO_PODS}"),
    ("Service store", f"spec selector {LABEL}", "x", f"is for {NO_PODS}"),
    ("Service store-hosts", "spec ports 0 targetPort", "x", "leads to port x"),
    ("SpinApp store", f"spec podLabels {LABEL}", "x", f"NetworkPolicy store-spin is for {NO_PODS}"),
    ("NetworkPolicy store-proxy", f"spec egress 1 to 0 podSelector matchLabels {LABEL}", "x", f"egress to {NO_PODS}"),
    ("NetworkPolicy store-redis", f"spec ingress 0 from 0 podSelector {IN}", ["x"], f"ingress from {NO_PODS}"),
    ("NetworkPolicy store-host", "spec ingress 0 ports 0 port", "x", "lets through to port x"),
    ("NetworkPolicy store-host", "spec egress 2 ports 0 port", 6380, "lets through to port 6380"),
    ("ServiceMonitor store-proxy", f"spec selector matchLabels {LABEL}", "x", "watches services that are not there"),
    ("ServiceMonitor store-host", "spec endpoints 0 port", "x", "asks at port x"),
    ("HorizontalPodAutoscaler store-host", "spec scaleTargetRef name", "x", "scales Deployment x, which is not there"),
    ("HorizontalPodAutoscaler store-host", "spec metrics 0 pods metric name", "x", "asks for x"),
]

MISFITS = [
    ("Deployment store-host", "spec replica", 2, "'replica' was unexpected"),
    ("MariaDB store-mariadb", "spec replica", 3, "'replica' was unexpected"),
    ("SpinAppExecutor containerd-shim-spin", "spec createDeployment", "x", "'x' is not of type 'boolean'"),
    ("Deployment store-host", "kind", "Deploymnet", "nobody knows the schema"),
]

CACHES = [
    ("ConfigMap store-redis", "data redis-additional.conf", "maxmemory 512mb", "Redis takes 512 MiB"),
    ("ConfigMap store-redis", "data redis-additional.conf", "maxmemory-policy allkeys-lru", "may evict"),
    ("ConfigMap store-redis", "data redis-additional.conf", "maxmemory 384mb", "Redis knows FLUSHALL"),
]


def broken(objects, name, path, value):
    """A copy of the objects in which one value is another, and the changed object."""
    objects = copy.deepcopy(objects)
    changed = next(thing for thing in objects if references.title(thing) == name)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split()]
    at = changed
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return objects, changed


class EachFaultIsNoticed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.overlays = [check.build(check.OVERLAYS / name) for name in ("complete", "spinkube")]

    def notices(self, cases, faults):
        for name, path, value, expected in cases:
            with self.subTest(name=name, path=path):
                objects = next(overlay for overlay in self.overlays if name in map(references.title, overlay))
                said = list(faults(*broken(objects, name, path, value)))
                self.assertTrue(any(expected in reason for reason in said), said)

    def test_references(self):
        self.notices(REFERENCES, lambda objects, _: references.faults(objects))

    def test_schemas(self):
        own = check.own_schemas()
        self.notices(MISFITS, lambda _, changed: check.misfits(changed, own))

    def test_caches(self):
        self.notices(CACHES, lambda objects, _: check.careless_caches(objects))

    def test_rules(self):
        self.assertTrue(list(check.other_rules("")))


if __name__ == "__main__":
    unittest.main()
