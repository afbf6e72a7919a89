"""What a shopper may do: functions that Locust calls with it."""

from . import checks
from .shopper import RUN

# The course's own store answers 201 where ours answers 200. Both can be measured.
ANY_SUCCESS = range(200, 300)

# The product that everybody buys at a flash sale.
WANTED = 1

PRODUCT_QUERY = "query ($id: String!) { product(id: $id) { id name sku price quantity } }"


def place_order(shopper):
    """An order of one product, or of 2 to 5, three times in ten."""
    several = shopper.random.random() < 0.3
    count = shopper.random.randint(2, 5) if several else 1
    products = shopper.random.sample(range(1, shopper.known_products + 1), count)
    body = {
        "user_id": shopper.a_user(),
        "items": [{"product_id": product, "quantity": shopper.random.randint(1, 5)} for product in products],
    }
    answer = shopper.ask("POST", "/orders", 201, checks.new_id("order_id"), body)
    return answer and (answer["order_id"], body)


def buy_the_same(shopper):
    """An order of one piece of what everybody wants."""
    body = {"user_id": shopper.a_user(), "items": [{"product_id": WANTED, "quantity": 1}]}
    shopper.ask("POST", "/orders", 201, checks.new_id("order_id"), body)


def highest_spenders(shopper):
    check = checks.ranking("user_id", "total_expense")
    shopper.ask("GET", "/orders/reports/highest-spenders", ANY_SUCCESS, check)


def best_sellers(shopper):
    check = checks.ranking("product_id", "quantity_sold")
    shopper.ask("GET", "/orders/reports/best-sellers", ANY_SUCCESS, check)


def health_check(shopper):
    shopper.ask("GET", "/health-check", 200, checks.healthy)


def read_order(shopper):
    order_id = shopper.an_order()
    shopper.ask("GET", "/orders/{order_id}", 200, checks.order(order_id), order_id=order_id)


def read_user(shopper):
    user_id = shopper.a_user()
    shopper.ask("GET", "/users/{user_id}", 200, checks.thing(id=user_id), user_id=user_id)


def read_product(shopper):
    product_id = shopper.a_product()
    shopper.ask("GET", "/products/{product_id}", 200, checks.thing(id=product_id), product_id=product_id)


def read_stock(shopper):
    product_id = shopper.a_product()
    check = checks.thing(product_id=product_id)
    shopper.ask("GET", "/stocks/{product_id}", 200, check, product_id=product_id)


def read_overview(shopper):
    """Every product of the store: some hundred kilobytes."""
    shopper.ask("GET", "/stocks/reports/overview-stocks", 200, checks.overview)


def query_product(shopper):
    product_id = shopper.a_product()
    body = {"query": PRODUCT_QUERY, "variables": {"id": str(product_id)}}
    shopper.ask("POST", "/stocks/graphql-query", 200, checks.graphql_product(product_id), body)


def order_and_read(shopper):
    """What was ordered can be read at once."""
    placed = place_order(shopper)
    if placed:
        order_id, body = placed
        check = checks.order(order_id, body["user_id"], body["items"])
        shopper.ask("GET", "/orders/{order_id}", 200, check, order_id=order_id)


def order_and_cancel(shopper):
    placed = place_order(shopper)
    if placed:
        check = checks.thing(deleted=True)
        shopper.ask("DELETE", "/orders/{order_id}", 200, check, order_id=placed[0])


def come_and_go(shopper):
    """A new user, looked at and removed."""
    email = f"{shopper.random.getrandbits(64):016x}-{RUN}@example.com"
    body = {"name": "A load test", "email": email}
    user = shopper.ask("POST", "/users", 201, checks.new_id("user_id"), body)
    if user:
        user_id = user["user_id"]
        seen = checks.thing(id=user_id, **body)
        shopper.ask("GET", "/users/{user_id}", 200, seen, user_id=user_id)
        shopper.ask("DELETE", "/users/{user_id}", 200, checks.thing(deleted=True), user_id=user_id)


def offer_and_withdraw(shopper):
    """A new product that gets stock and is removed before anybody can order it."""
    body = {"name": "A load test", "sku": "LOAD", "price": shopper.random.randint(1, 99_999) / 100}
    product = shopper.ask("POST", "/products", 201, checks.new_id("product_id"), body)
    if product:
        product_id = product["product_id"]
        quantity = shopper.random.randint(1, 500)
        stock = {"product_id": product_id, "quantity": quantity}
        added = checks.thing(result=f"rows added, product {product_id}")
        shopper.ask("POST", "/stocks", 201, added, stock)
        shopper.ask("GET", "/stocks/{product_id}", 200, checks.thing(**stock), product_id=product_id)
        shopper.ask("DELETE", "/products/{product_id}", 200, checks.thing(deleted=True), product_id=product_id)
