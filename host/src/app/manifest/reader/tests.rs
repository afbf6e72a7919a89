use super::*;

const APP: &str = r#"
    spin_manifest_version = 2
    [application]
    name = "app"
    [variables]
    greeting = { default = "hello" }
    token = { required = true, secret = true }
    [[trigger.http]]
    route = "/hello/:name"
    component = "hello"
    [component.hello]
    source = "hello.wasm"
    allowed_outbound_hosts = ["redis://{{ greeting }}:6379"]
    [component.hello.variables]
    text = "{{ greeting }}!"
    [component.hello.build]
    command = "make"
"#;

fn read(text: &str) -> Result<Manifest, String> {
    super::read(Path::new("app/spin.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn an_app_is_read() {
    let app = read(APP).expect("valid");
    assert_eq!(
        app.routes,
        [Route {
            pattern: "/hello/:name".into(),
            component: "hello".into()
        }]
    );
    assert_eq!(app.components["hello"].source, Path::new("app/hello.wasm"));
    assert!(app.variables["token"].default.is_none());
}

/// No request reaches such a component, so the host does not check its entry.
#[test]
fn a_component_without_a_public_route_is_not_looked_at() {
    let other = "[component.other]\nfiles = 1\n[component.hello]";
    let app = read(&APP.replace("[component.hello]", other)).expect("valid");
    assert_eq!(app.components.len(), 1);
    let private = APP.replace("route = \"/hello/:name\"", "route = { private = true }");
    let app = read(&private).expect("valid");
    assert!(app.routes.is_empty() && app.components.is_empty());
}

#[test]
fn a_value_of_a_wrong_type_is_not_printed() {
    for (from, to, expected) in [
        (
            "token = {",
            "key = \"hunter2, expected \"\n    token = {",
            "`variables.key`: invalid type: string, expected a table",
        ),
        (
            "text = \"{{ greeting }}!\"",
            "text = [\"hunter2\"]",
            "`component.hello.variables.text`: invalid type: sequence, expected a string",
        ),
    ] {
        let message = read(&APP.replace(from, to)).expect_err(expected);
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("hunter"), "{message}");
    }
}

#[test]
fn what_the_host_can_not_serve_is_named() {
    let cases = [
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 1",
            "`spin_manifest_version`: is 1",
        ),
        (
            "component = \"hello\"",
            "component = \"bye\"",
            "`component.bye`: is missing",
        ),
        (
            "source = \"hello.wasm\"",
            "",
            "app/spin.toml:11: `component.hello`: missing field `source`",
        ),
        (
            "source = \"hello.wasm\"",
            "source = { url = \"x\" }",
            "`component.hello.source`: this host loads files only",
        ),
        (
            "command = \"make\"",
            "[component.hello.files]\na = 1",
            "`component.hello.files`: this host gives",
        ),
        (
            "route = \"/hello/:name\"",
            "route = \"hello\"",
            "app/spin.toml:9: `trigger.http[0].route`: `hello` must start with `/`",
        ),
        (
            "default = \"hello\"",
            "secret = true",
            "`variables.greeting`: needs a `default`",
        ),
        (
            "default = \"hello\"",
            "defualt = \"hello\"",
            "`variables.greeting.defualt`: no such key; did you mean `default`?",
        ),
        (
            "[[trigger.http]]",
            "[trigger.redis]\n[[trigger.http]]",
            "`trigger.redis`: this host serves HTTP triggers only",
        ),
        (
            "{{ greeting }}!",
            "{{ greeting !",
            "`component.hello.variables.text`",
        ),
        (
            "redis://{{ greeting }}:6379",
            "no address",
            "`component.hello.allowed_outbound_hosts[0]`: `no address`",
        ),
        (
            "component = \"hello\"\n    [component.hello]",
            "component = \"../x\"\n    [component.\"../x\"]",
            "`component.../x`: has an id",
        ),
        (
            "greeting = {",
            "PG_ADDRESS = { default = \"\" }\n    greeting = {",
            "`variables.PG_ADDRESS`: has 'P' in its name",
        ),
        (
            "text = \"",
            "text_ = \"",
            "`component.hello.variables.text_`: must end",
        ),
        (
            "[application]",
            "[extra]\n[application]",
            "`extra`: no such key; there is application, variables, component, trigger",
        ),
        (
            "[application]\n    name = \"app\"",
            "",
            "app/spin.toml:1: missing field `application`",
        ),
        (
            "[[trigger.http]]\n    route = \"/hello/:name\"\n    component = \"hello\"",
            "",
            "`trigger.http`: no route",
        ),
        (
            "route = \"/hello/:name\"",
            "route = { private = false }",
            "`trigger.http[0].route`: must be a path",
        ),
        (
            "component = \"hello\"",
            "component = \"hello\"\n    executor = { type = \"wagi\" }",
            "`trigger.http[0].executor.type`: no such value: `wagi`; there is http",
        ),
        (
            "source = \"hello.wasm\"",
            "source = 7",
            "`component.hello.source`: must be the path",
        ),
        (
            "text = \"{{ greeting }}!\"",
            "text = 7",
            "`component.hello.variables.text`: invalid type: integer, expected a string",
        ),
        (
            "[component.hello.build]",
            "[component.hello.tool.store-host.limits]\n    max_in_flight = 0\n    [component.hello.build]",
            "app/spin.toml:17: `component.hello.tool.store-host.limits.max_in_flight`: 0 is not from 1",
        ),
        (
            "[component.hello.build]",
            "[component.hello.tool.store-host]\n    variable_values = { txt = [\"a\"] }\n    [component.hello.build]",
            "`component.hello.tool.store-host.variable_values`: the component has no variable `txt`",
        ),
    ];
    for (from, to, expected) in cases {
        let message = read(&APP.replace(from, to)).expect_err(expected);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        assert!(message.starts_with("app/spin.toml:"), "{message}");
    }
}
