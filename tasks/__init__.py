"""Where Prefect touches the core: a task calls one core function, stores its result and passes on a reference."""
