//! Which group answers what.

use crate::support::{Rig, Upstream, answered_by, group, problem, request, server};

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_chosen_by_path_prefix_and_host() {
    let (orders, stocks, admin) =
        tokio::join!(Upstream::start(), Upstream::start(), Upstream::start());
    let config = [
        "[[route]]\npath_prefix = \"/orders\"\nupstreams = \"orders\"\n".to_owned(),
        "[[route]]\npath_prefix = \"/orders/deep\"\nupstreams = \"stocks\"\n".to_owned(),
        "[[route]]\npath_prefix = \"/stocks\"\nupstreams = \"stocks\"\n".to_owned(),
        "[[route]]\nhost = \"admin.example\"\nupstreams = \"admin\"\n".to_owned(),
        group("orders", "", [server(&orders)]),
        group("stocks", "", [server(&stocks)]),
        group("admin", "", [server(&admin)]),
    ]
    .join("\n");
    let rig = Rig::start(&config).await;
    let at = async |host: &str, target: &str| {
        let request = request("GET", target, &[], "");
        rig.ask(request.replace("shop.example", host)).await
    };
    for (host, target, upstream) in [
        ("shop.example", "/orders", &orders),
        ("shop.example", "/orders/7?a=b", &orders),
        ("shop.example", "/orders?a=b", &orders),
        ("shop.example", "/orders/deep", &stocks),
        ("shop.example", "/orders/deep/er", &stocks),
        ("shop.example", "/orders/deeper", &orders),
        ("shop.example", "/stocks/1", &stocks),
        ("admin.example", "/orders", &admin),
        ("ADMIN.example:8080", "/", &admin),
    ] {
        let answer = at(host, target).await;
        assert_eq!(answered_by(&answer), upstream.address, "{host}{target}");
        assert_eq!(answer.json()["target"], target);
    }
    for target in ["/", "/ordersx", "/users"] {
        problem(&at("shop.example", target).await, 404);
    }
}
