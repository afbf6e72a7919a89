"""Builds each overlay as `kubectl apply -k` would, and holds what comes of it against the schemas of Kubernetes and of
the operators (those in `schemas` are theirs, trimmed), and its objects against each other. Prints what is wrong, one
line each. Needs no cluster and no network. check_test.py shows that it notices what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import references
import rules
import yaml

HERE = Path(__file__).parent
OVERLAYS = HERE / "overlays"
# The oldest version of Kubernetes that the manifests are for (a pause before the end of a container), and the newest known.
VERSIONS = ["1.32", "1.37"]


def main() -> int:
    own = own_schemas()
    wrong, checked = list(other_rules(rules.COPY.read_text())), 0
    for overlay in sorted(OVERLAYS.iterdir()):
        try:
            objects = build(overlay)
        except subprocess.CalledProcessError as error:
            wrong.append(f"{overlay.name}: {error.stderr.strip()}")
            continue
        checked += len(objects)
        for thing in objects:
            wrong += [f"{overlay.name}: {references.title(thing)}: {reason}" for reason in misfits(thing, own)]
        wrong += [f"{overlay.name}: {reason}" for reason in references.faults(objects)]
        wrong += [f"{overlay.name}: {reason}" for reason in careless_caches(objects)]
    for line in wrong:
        print(line)
    print(f"{checked} objects, {len(wrong)} faults")
    return bool(wrong) or not checked


def build(overlay):
    """The objects of an overlay, as `kubectl apply -k` would send them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    built = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, check=True)
    return [thing for thing in yaml.safe_load_all(built.stdout) if thing]


def own_schemas():
    return {schema["title"]: schema for schema in map(read_json, sorted((HERE / "schemas").glob("*.json")))}


def misfits(thing, own):
    kind = f"{thing['apiVersion']} {thing['kind']}"
    if kind in own:
        for error in jsonschema.Draft7Validator(own[kind]).iter_errors(thing):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"nobody knows the schema of {kind}"


def careless_caches(objects):
    """What is wrong with a Redis that is killed before it is full, drops what must not be lost, or lets a script do so."""
    texts = {thing["metadata"]["name"]: thing["data"] for thing in objects if thing["kind"] == "ConfigMap"}
    for redis in (thing["spec"] for thing in objects if thing["kind"] == "Redis"):
        name = redis.get("redisConfig", {}).get("additionalRedisConfig")
        lines = texts.get(name, {}).get("redis-additional.conf", "").splitlines()
        settings = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
        memory = int(settings.get("maxmemory", "0mb").removesuffix("mb"))
        limit = int(redis["kubernetesConfig"]["resources"]["limits"]["memory"].removesuffix("Mi"))
        if not 0 < memory < limit:
            yield f"Redis takes {memory or 'any number of'} MiB, and its container is limited to {limit} MiB"
        if settings.get("maxmemory-policy") != "noeviction":
            yield "Redis may evict marks of changes"
        for command in ("FLUSHALL", "FLUSHDB", "KEYS", "SWAPDB"):
            if f'rename-command {command} ""' not in lines:
                yield f"Redis knows {command}, which a script may call"


def other_rules(copy):
    if copy != rules.text():
        yield "components/monitoring/rules.yaml has other rules than loadtest/prometheus: run deploy/kubernetes/rules.py"


def read_json(path):
    return json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
