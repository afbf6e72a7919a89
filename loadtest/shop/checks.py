"""What a right answer looks like. Each function gives None, or what is wrong, in words that don't differ by id."""

from decimal import Decimal


def healthy(answer):
    return None if answer == {"status": "ok"} else "not healthy"


def new_id(member):
    """The answer has a positive id and nothing else."""

    def fault(answer):
        right = list(answer) == [member] and isinstance(answer[member], int) and answer[member] > 0
        return None if right else f"not one {member}"

    return fault


def ranking(key, total):
    """Rows with these two members, the largest total first."""

    def fault(answer):
        if any(key not in row or total not in row for row in answer):
            return f"rows without {key} or {total}"
        totals = [row[total] for row in answer]
        return None if totals == sorted(totals, reverse=True) else "not in order"

    return fault


def order(order_id, user_id=None, items=None):
    """The order asked for, whose total is the sum of its items; with what was ordered, if that is known."""

    def fault(answer):
        if answer["order_id"] != order_id:
            return "another order"
        total = sum(_cents(item["unit_price"]) * item["quantity"] for item in answer["items"])
        if total != _cents(answer["total_amount"]):
            return "the total is not the sum of the items"
        if user_id is not None and answer["user_id"] != user_id:
            return "another user's order"
        found = {item["product_id"]: item["quantity"] for item in answer["items"]}
        if items is not None and found != {item["product_id"]: item["quantity"] for item in items}:
            return "other items than ordered"
        return None

    return fault


def thing(**members):
    """The members given have these values; there may be more."""

    def fault(answer):
        differ = [name for name, value in members.items() if answer.get(name, _ABSENT) != value]
        return f"unexpected {', '.join(differ)}" if differ else None

    return fault


def overview(answer):
    columns = {"Article", "Numéro SKU", "Prix unitaire", "Unités en stock"}
    if not answer:
        return "no products"
    return None if all(set(row) == columns for row in answer) else "unexpected columns"


def graphql_product(product_id):
    def fault(answer):
        if answer.get("errors"):
            return "GraphQL errors"
        product = answer["data"]["product"]
        return None if product and str(product["id"]) == str(product_id) else "another product"

    return fault


_ABSENT = object()


def _cents(amount):
    return int(Decimal(str(amount)) * 100)
