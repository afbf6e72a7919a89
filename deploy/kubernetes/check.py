"""Builds each overlay as `kubectl apply -k` would, and holds what comes of it against the schemas of Kubernetes and of the
operators (those in `schemas` are theirs, trimmed). Prints what is wrong, one line each. Needs no cluster and no network."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import rules
import yaml

HERE = Path(__file__).parent
# The oldest version of Kubernetes that the manifests are for (a pause before the end of a container), and the newest known.
VERSIONS = ["1.32", "1.37"]


def main() -> int:
    kubectl = Path(sys.executable).with_name("kubectl")
    own = {schema["title"]: schema for schema in map(read_json, sorted((HERE / "schemas").glob("*.json")))}
    wrong, checked = [], 0
    for overlay in sorted((HERE / "overlays").iterdir()):
        built = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, check=False)
        if built.returncode:
            wrong.append(f"{overlay.name}: {built.stderr.strip()}")
            continue
        objects = [thing for thing in yaml.safe_load_all(built.stdout) if thing]
        checked += len(objects)
        for thing in objects:
            name = f"{overlay.name}: {thing['kind']} {thing['metadata']['name']}"
            wrong += [f"{name}: {reason}" for reason in faults(thing, own)]
        wrong += [f"{overlay.name}: {reason}" for reason in loose_ends(objects)]
        wrong += [f"{overlay.name}: {reason}" for reason in careless_caches(objects)]
    wrong += other_rules()
    for line in wrong:
        print(line)
    print(f"{checked} objects, {len(wrong)} faults")
    return bool(wrong) or not checked


def faults(thing, own):
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


def loose_ends(objects):
    """Names and labels by which one object means another that is not there."""
    there = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
    pods = [thing["spec"]["template"] for thing in objects if thing["kind"] in ("Deployment", "Job")]
    labels = [pod["metadata"]["labels"].items() for pod in pods]
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                    yield f"{container['name']} takes settings from {source['configMapRef']['name']}"
    for thing in objects:
        selector = thing["spec"].get("selector") or thing["spec"].get("podSelector") if "spec" in thing else None
        if thing["kind"] in ("Service", "NetworkPolicy", "PodDisruptionBudget", "Deployment") and selector:
            wanted = selector.get("matchLabels", selector).items()
            if not any(wanted <= found for found in labels):
                yield f"{thing['kind']} {thing['metadata']['name']} is for pods that are not there"


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


def other_rules():
    if rules.COPY.read_text() != rules.text():
        yield "components/monitoring/rules.yaml has other rules than loadtest/prometheus: run deploy/kubernetes/rules.py"


def read_json(path):
    return json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
