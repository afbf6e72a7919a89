"""Settings that Locust doesn't have: flags, environment variables and fields of its web page."""

from locust import events


@events.init_command_line_parser.add_listener
def add_settings(parser):
    def number(flag, default, help):
        variable = "STORE_LOAD_" + flag.strip("-").replace("-", "_").upper()
        parser.add_argument(flag, type=int, default=default, env_var=variable, help=help)

    number("--seed", 42, "the same number gives the same shoppers, who ask for the same things")
    number("--known-users", 1_000, "how many users the store has, with the ids from 1 on")
    number("--known-products", 10_000, "how many products the store has, with the ids from 1 on")
    number("--known-orders", 80_000, "how many orders the store has, with the ids from 1 on")
    parser.add_argument(
        "--results",
        metavar="FOLDER",
        env_var="STORE_LOAD_RESULTS",
        include_in_web_ui=False,
        help="an existing folder: what was measured is written there at the end",
    )
