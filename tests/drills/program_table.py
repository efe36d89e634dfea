"""The table of programs: ends of interpreters, SIGINT, forks and threads."""

from tests.drills.play_program import Program
from tests.drills.programs import PROGRAMS, SOON

_PLANTS = {
    "leaves_": "watchdog_stays",
    "begins_": "watchdog_stays",
    "interrupts_": "interrupts_are_lost",
    "forks_": "forks_share",
    "threads_": "never_closes",
}
_OWN_PLANTS = {
    "leaves_an_asynchronous_stream": "deaf_reader",
    "leaves_an_asynchronous_chain": "deaf_reader",
    "leaves_bounded": "deaf_reader",
    "leaves_a_task": "deaf_reader",
    "leaves_a_thread_until_its_deadline": "no_clock_check",
    "begins_a_call_at_exit": "watchdog_fails",
    "forks_before_use": "watchdog_fails",
    "forks_after_asynchronous_use": "loops_share",
    "forks_in_mid_stream": "closing_shuts_down",
    "forks_in_mid_stream_and_the_child_closes_it": "closing_shuts_down",
    "forks_in_mid_stream_with_bounded_sync": "closing_shuts_down",
    "forks_in_mid_stream_and_the_child_has_a_deadline": "no_clock_check",
    "forks_in_an_event_loop": "abandon_cuts",
    "threads_share_a_model": "watchdog_fails",
}
_FAULTS = {
    "leaves_": "The interpreter ends",
    "begins_": "The interpreter ends",
    "interrupts_": "SIGINT",
    "forks_": "A fork",
    "threads_": "Threads",
}


def _program(name: str) -> Program:
    kind = name[: name.index("_") + 1]
    is_interrupted = kind == "interrupts_"
    return Program(
        _FAULTS[kind],
        name,
        _OWN_PLANTS.get(name, _PLANTS[kind]),
        says="interrupted" if is_interrupted else "ok",
        interrupt=is_interrupted,
        waits=SOON if name == "leaves_a_thread_until_its_deadline" else 0.0,
    )


PROGRAM_DRILLS = [_program(name) for name in PROGRAMS]
