"""What an object of an overlay means by a name, a label, a port or a key must be there in another one. The pods that
operators make are known by the labels and ports that their operators give them."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEPLOY = ROOT / "docs/DEPLOY.md"
ADAPTER = HERE / "prometheus-adapter.yaml"
# The only secret, made as DEPLOY.md says.
SECRET = "store-secrets"


@dataclass
class Pod:
    owner: str
    labels: dict
    # Numbers by name.
    ports: dict
    # Empty if it is its operator's.
    spec: dict

    def opens(self, port):
        return port in self.ports or port in self.ports.values()


def faults(objects):
    pods = [pod for pod in map(pod_of, objects) if pod]
    settings = {thing["metadata"]["name"]: thing["data"] for thing in of_kind(objects, "ConfigMap")}
    for thing in objects:
        yield from absent_settings(thing, settings)
        yield from absent_secrets(thing)
    for pod in pods:
        yield from absent_probes(pod)
        yield from absent_files(pod, settings)
    yield from absent_pods(objects, pods)
    for policy in of_kind(objects, "NetworkPolicy"):
        yield from absent_peers(policy, pods)
    for monitor in of_kind(objects, "ServiceMonitor"):
        yield from absent_services(monitor, of_kind(objects, "Service"))
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        yield from absent_target(scaler, objects)
    for app in of_kind(objects, "SpinApp"):
        yield from absent_variables(app)


def absent_settings(thing, settings):
    for part in dicts(thing):
        for key in ("configMapRef", "configMapKeyRef", "configMap"):
            if key not in part:
                continue
            named = part[key]
            if named["name"] not in settings:
                yield f"{title(thing)} takes settings from {named['name']}, which is not there"
            elif "key" in named and named["key"] not in settings[named["name"]]:
                yield f"{title(thing)} takes {named['key']} from {named['name']}, which has no such setting"


def absent_secrets(thing):
    made = set(re.findall(r"--from-file=(\w+)", DEPLOY.read_text()))
    asked = set()
    for part in dicts(thing):
        if part.get("name") == SECRET and "key" in part:
            asked.add(part["key"])
        if part.get("secretName") == SECRET:
            if "items" not in part:
                yield f"{title(thing)} is given every secret"
            asked |= {item["key"] for item in part.get("items", [])}
    for key in sorted(asked - made):
        yield f"{title(thing)} asks {SECRET} for {key}, which docs/DEPLOY.md does not put there"


def absent_probes(pod):
    for container in pod.spec.get("containers", []):
        own = [port["name"] for port in container.get("ports", [])]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port and port not in own:
                yield f"{pod.owner} has no port {port} for its {probe}"


def absent_files(pod, settings):
    """Files of secrets: a pod has those that its settings name, and no others."""
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    for container in pod.spec.get("containers", []):
        texts = environment(container, settings)
        there = set()
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                texts += settings.get(volume["configMap"]["name"], {}).values()
            for item in volume.get("secret", {}).get("items", []):
                there.add(f"{mount['mountPath']}/{item['path']}")
        named = set(re.findall(r"/run/secrets/[\w./-]+", "\n".join(texts)))
        for file in sorted(named - there):
            yield f"{pod.owner} is to read {file}, which it has not"
        for file in sorted(there - named):
            yield f"{pod.owner} has {file}, which it is not to read"


def environment(container, settings):
    values = {}
    for source in container.get("envFrom", []):
        values |= settings.get(source["configMapRef"]["name"], {})
    values |= {entry["name"]: entry["value"] for entry in container.get("env", [])}
    return list(values.values())


def absent_pods(objects, pods):
    for thing in of_kind(objects, "Deployment", "PodDisruptionBudget", "Service"):
        selector = thing["spec"]["selector"]
        chosen = choose({"matchLabels": selector} if thing["kind"] == "Service" else selector, pods)
        if not chosen:
            yield f"{title(thing)} is for pods that are not there"
        for port in thing["spec"].get("ports", []):
            for pod in chosen:
                if not pod.opens(port["targetPort"]):
                    yield f"{title(thing)} leads to port {port['targetPort']}, which {pod.owner} has not"


def absent_peers(policy, pods):
    own = choose(policy["spec"]["podSelector"], pods)
    if not own:
        yield f"{title(policy)} is for pods that are not there"
    for direction, key in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction, []):
            # Pods of other namespaces are none of ours.
            selectors = [peer["podSelector"] for peer in rule.get(key, []) if "namespaceSelector" not in peer]
            peers = [choose(selector, pods) for selector in selectors]
            if not all(peers):
                yield f"{title(policy)} has {direction} {key} pods that are not there"
            for pod in own if direction == "ingress" else sum(peers, []):
                for port in rule.get("ports", []):
                    if not pod.opens(port["port"]):
                        yield f"{title(policy)} lets through to port {port['port']}, which {pod.owner} has not"


def absent_services(monitor, services):
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    chosen = [service for service in services if wanted <= service["metadata"].get("labels", {}).items()]
    if not chosen:
        yield f"{title(monitor)} watches services that are not there"
    for service in chosen:
        names = [port["name"] for port in service["spec"]["ports"]]
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in names:
                yield f"{title(monitor)} asks at port {endpoint['port']}, which {title(service)} has not"


def absent_target(scaler, objects):
    target = scaler["spec"]["scaleTargetRef"]
    if f"{target['kind']} {target['name']}" not in map(title, objects):
        yield f"{title(scaler)} scales {target['kind']} {target['name']}, which is not there"
    custom = yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]
    served = [rule["seriesQuery"].split("{")[0] for rule in custom]
    for metric in scaler["spec"]["metrics"]:
        name = metric["pods"]["metric"]["name"]
        if name not in served:
            yield f"{title(scaler)} asks for {name}, which {ADAPTER.name} does not serve"


def absent_variables(app):
    declared = tomllib.loads((ROOT / "spin.toml").read_text())["variables"]
    for variable in app["spec"]["variables"]:
        if variable["name"] not in declared:
            yield f"{title(app)} sets {variable['name']}, which spin.toml does not declare"


def pod_of(thing):
    name, spec = thing["metadata"]["name"], thing.get("spec", {})
    match thing["kind"]:
        case "Deployment" | "Job":
            labels, spec = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
            ports = [port for container in spec["containers"] for port in container.get("ports", [])]
            return Pod(title(thing), labels, {port["name"]: port["containerPort"] for port in ports}, spec)
        case "MariaDB":
            labels = {"app.kubernetes.io/name": "mariadb", "app.kubernetes.io/instance": name}
            return Pod(title(thing), labels, {"mariadb": 3306, "agent": 5555}, {})
        case "Redis":
            labels = {"app": name, "redis_setup_type": "standalone", "role": "standalone"}
            return Pod(title(thing), labels, {"redis": 6379}, {})
        case "SpinApp":
            labels = {"core.spinkube.dev/app-name": name} | spec.get("podLabels", {})
            return Pod(title(thing), labels, {"http-app": 80}, {})
    return None


def choose(selector, pods):
    """The pods that a selector means. Of its expressions we use `In` only."""
    wanted, rules = selector.get("matchLabels", {}).items(), selector.get("matchExpressions", [])
    return [
        pod
        for pod in pods
        if wanted <= pod.labels.items()
        and all(rule["operator"] == "In" and pod.labels.get(rule["key"]) in rule["values"] for rule in rules)
    ]


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def title(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


def dicts(thing):
    """All dictionaries in an object, itself included."""
    if isinstance(thing, dict):
        yield thing
        thing = list(thing.values())
    if isinstance(thing, list):
        for part in thing:
            yield from dicts(part)
