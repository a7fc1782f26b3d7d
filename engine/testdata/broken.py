import nothing_of_this_name  # noqa: F401


def square(x):
    return x * x
