"""What the API imports."""


def price(x):
    return 3 * x
