"""A user of the store: random numbers of its own, and requests whose answers are checked."""

import itertools
import random
import re
import uuid

from locust import events

from . import results, settings  # noqa: F401  (they listen to Locust's events)

_numbers = itertools.count()

# For what must be new each time, whatever the seed.
RUN = uuid.uuid4().hex[:8]


@events.test_start.add_listener
def _begin(environment, **_):
    """Locust chooses tasks and pauses with the shared generator. Each shopper has one more, for what it asks for."""
    global _numbers
    _numbers = itertools.count()
    random.seed(environment.parsed_options.seed)


class Shopper:
    """Comes before HttpUser or FastHttpUser among the bases of a user."""

    def __init__(self, environment):
        super().__init__(environment)
        options = environment.parsed_options
        self.random = random.Random(f"{options.seed}/{next(_numbers)}")
        # For HttpUser: no look at the environment's proxies and passwords for each request.
        self.client.trust_env = False
        self.known_users = options.known_users
        self.known_products = options.known_products
        self.known_orders = options.known_orders

    def a_user(self):
        return self.random.randint(1, self.known_users)

    def a_product(self):
        return self.random.randint(1, self.known_products)

    def an_order(self):
        return self.random.randint(1, self.known_orders)

    def ask(self, method, route, status, fault, body=None, **ids):
        """Sends a request, counted under its method and route, and gives the answer, or None if it was not as expected.

        `status` is the one expected, or several. `fault` looks at the answer and says what is wrong with it, or None.
        """
        path = route.format(**ids)
        name = f"{method} {route}"
        with self.client.request(method, path, name=name, json=body, catch_response=True) as response:
            if response.status_code == 0:
                return None  # No answer: Locust knows the reason.
            answer, wrong = _read(response)
            if response.status_code not in (status if isinstance(status, range) else [status]):
                wrong = f"{response.status_code}: {_reason(response)}"
            elif wrong is None:
                wrong = fault(answer)
            if wrong is not None:
                response.failure(wrong)
                return None
            return answer


def _read(response):
    """The answer, and what is wrong with its form."""
    if not (response.headers.get("content-type") or "").startswith("application/json"):
        return None, "not application/json"
    try:
        return response.json(), None
    except ValueError:
        return None, "not JSON"


def _reason(response):
    """An error's own words, without the numbers that would make each failure one of its own."""
    try:
        words = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        words = response.text or "no body"
    return re.sub(r"\d+", "#", str(words))[:200]
