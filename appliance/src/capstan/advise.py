"""Which capture method suits a port: every method ranked, and what `auto` comes to. Pure, and the one place for both.

The rank: first what is estimated to take the packets that are expected, and among those what asks least of the host;
then what falls short, the fastest first; then what is for tests; then what cannot be had. `auto` is the first of them
that needs no reboot and no person. It decides by what the NIC is, not by what a deployment made of the host, and keeps
an earlier choice as long as that can be had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from capstan import guard
from capstan.advise_methods import Change, Subject, changes, mode_of, obstacles
from capstan.advise_rates import PRIORS, Expected, Rate, estimate, expected, line_rate
from capstan.config import BUILT_METHODS, CaptureConfig, Interface
from capstan.config_fields import AUTO_METHOD
from capstan.host_plan import Decided, HostPlan
from capstan.links import Network
from capstan.machine import Machine
from capstan.means import Choice, Means
from capstan.plan_problems import PlanError
from capstan.planner import plan_host
from capstan.planner_ports import locate
from capstan.sight import limits

METHODS: Final = tuple(method for method in BUILT_METHODS if method != "replay")
"""The methods that are judged."""
# What asks least of a host comes first: nothing, a driver that can, the vendor's module, the NIC taken from the kernel.
_EFFORT: Final = ("dag", "pf_ring ZC", "af_packet", "af_xdp", "pf_ring", "dpdk", "af_xdp generic", "pcap")

Verdict = Literal["enough", "short", "tests", "impossible"]
_ORDER: Final[tuple[Verdict, ...]] = ("enough", "short", "tests", "impossible")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One method on one port."""

    method: str
    mode: str
    verdict: Verdict
    rate: Rate | None
    reason: str
    changes: tuple[Change, ...] = ()

    @property
    def needs(self) -> str:
        """The most that it takes to have it: nothing, deployment, reboot, hand, or never."""
        if self.verdict == "impossible":
            return "never"
        return next((by for by in ("hand", "reboot", "deployment") if any(c.by == by for c in self.changes)), "nothing")


@dataclass(frozen=True, slots=True)
class PortAdvice:
    """Every method for one port, best first, and what `auto` takes."""

    subject: Subject
    asked: str
    """The method that the settings say."""
    expected: Expected
    refusals: tuple[str, ...]
    """Why the host cannot do without the port; there are no candidates then."""
    candidates: tuple[Candidate, ...]
    chosen: str | None
    """What `auto` comes to; None where it finds nothing."""
    kept: bool = False
    """It was chosen before."""
    problems: tuple[tuple[str, str], ...] = ()
    """(key, sentence) where there is no plan for this port by any method."""
    notes: tuple[str, ...] = ()
    """What it does not see, whatever the method."""

    def candidate(self, method: str | None) -> Candidate | None:
        """The candidate of that method."""
        return next((found for found in self.candidates if found.method == method), None)


def plan(config: CaptureConfig, machine: Machine, network: Network, means: Means, held: int = 0) -> HostPlan:
    """The plan of a host, with a method for each port whose settings say auto.

    Args:
        config: the settings of the host.
        machine: what it is made of.
        network: the interfaces of the network namespace that the settings name.
        means: what else it has.
        held: bytes of memory in use now that a running engine gives back before it is started again.

    Raises:
        PlanError: with a sentence for everything that the host does not have.

    """
    if AUTO_METHOD not in config.methods:
        return plan_host(config, machine, network, held, _none_chosen(config, means))
    return plan_host(config, machine, network, held, decide(config, machine, network, means, held))


def decide(config: CaptureConfig, machine: Machine, network: Network, means: Means, held: int = 0) -> Decided:
    """What `auto` comes to on each port that asks for it.

    Raises:
        PlanError: with a sentence for each port for which there is nothing.

    """
    advisor = _Advisor(config, machine, network, means, held)
    problems: list[tuple[str, str]] = []
    told: list[str] = []
    choices: dict[str, Any] = {}
    methods = advisor.provisional()
    for index, interface in enumerate(config.interfaces):
        if config.method_of(interface) != AUTO_METHOD:
            continue
        advice = advisor.port(index, methods)
        if advice.chosen is None:
            problems += _nothing(advice)
            continue
        methods[index] = advice.chosen
        told += sentences(advice)
        choice = Choice(advice.chosen, advice.subject.nature, basis(config, index))
        choices[interface.identity] = {"method": choice.method, "nature": choice.nature, "settings": choice.settings}
    if problems:
        raise PlanError(config.host, tuple(dict.fromkeys(problems)))
    return Decided(tuple(methods), tuple(told), choices, due=choices != _recorded(means))


def advise(
    config: CaptureConfig, machine: Machine, network: Network, means: Means, held: int = 0
) -> tuple[PortAdvice, ...]:
    """All methods for every port of the settings, whatever method they say, but replays and virtual devices."""
    advisor = _Advisor(config, machine, network, means, held)
    methods = advisor.provisional()
    advices = []
    for index, interface in enumerate(config.interfaces):
        if config.method_of(interface) == "replay" or interface.vdev is not None:
            continue
        advice = advisor.port(index, methods)
        if config.method_of(interface) == AUTO_METHOD and advice.chosen is not None:
            methods[index] = advice.chosen
        advices.append(advice)
    return tuple(advices)


def with_ports(config: CaptureConfig, *interfaces: Interface) -> CaptureConfig:
    """The same settings for these ports alone."""
    return config.model_copy(update={"interfaces": interfaces})


def basis(config: CaptureConfig, index: int) -> dict[str, Any]:
    """The settings that bear on the choice for a port: when one of them changes, it is chosen anew."""
    interface = config.interfaces[index]
    return {
        "expected_pps": interface.expected_pps or config.expected_pps,
        "queues": interface.queues,
        "cores": config.cores if config.cores == "auto" else list(config.cores),
        "netns": config.netns,
        "af_xdp.mode": config.af_xdp.mode,
        "dpdk.driver": config.dpdk.driver,
        "pf_ring.zc": config.pf_ring.zc,
    }


def sentences(advice: PortAdvice) -> Iterator[str]:
    """What `auto` came to for a port, and what would be better."""
    chosen = next(found for found in advice.candidates if found.method == advice.chosen)
    yield f"{advice.subject.label}: {_named(chosen)} for {_millions(advice.expected.pps)} ({advice.expected.source})"
    for better in advice.candidates[: advice.candidates.index(chosen)]:
        if better.needs in {"nothing", "deployment"}:
            yield (
                f"{advice.subject.label}: {_named(better)} would be better and can be had now: write method: "
                f"{better.method}, or deploy with -e capture_choose_again=true"
            )
        else:
            needed = "; ".join(change.sentence for change in better.changes if change.by in {"reboot", "hand"})
            yield f"{advice.subject.label}: better is {_named(better)}, which needs {needed}"


def _named(candidate: Candidate) -> str:
    mode = f" ({candidate.mode})" if candidate.mode else ""
    rate = candidate.rate
    return f"{candidate.method}{mode}" + (f", about {_millions(rate.total)} ({rate.evidence})" if rate else "")


def _millions(pps: int) -> str:
    return f"{pps / 1e6:.3g} M/s"


def _recorded(means: Means) -> dict[str, Any]:
    return {
        port: {"method": choice.method, "nature": choice.nature, "settings": dict(choice.settings)}
        for port, choice in means.choices.items()
    }


def _none_chosen(config: CaptureConfig, means: Means) -> Decided:
    """The settings' own methods; what is on record goes."""
    methods = tuple(config.method_of(interface) for interface in config.interfaces)
    return Decided(methods, due=bool(means.choices))


def _nothing(advice: PortAdvice) -> Iterator[tuple[str, str]]:
    """Why there is no method for a port."""
    key = f"interfaces[{advice.subject.index}]"
    where = f"{key}.method" if advice.subject.interface.method else "method"
    if advice.refusals:
        yield from ((key, sentence.rstrip(".")) for sentence in advice.refusals)
    elif advice.problems:
        yield from advice.problems
    elif advice.subject.wireless:
        yield (
            where,
            (
                f"is auto, which takes no WiFi: {advice.subject.label} gets what this station sends and receives, and "
                "nobody else's frames; name a NIC at the wire, or write method: af_packet if that is meant"
            ),
        )
    else:
        # That a NIC is no DAG card goes without saying.
        silent = {"pcap", *({"dag"} if advice.subject.card is None else ())}
        judged = (found for found in advice.candidates if found.method not in silent)
        why = "; ".join(f"{found.method}: {_against(found)}" for found in judged)
        yield where, f"is auto, and none can be had on {advice.subject.label} as it is ({why}); write a method"


def _against(candidate: Candidate) -> str:
    if candidate.verdict == "impossible":
        return candidate.reason
    return "needs " + ", ".join(change.sentence for change in candidate.changes)


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of planning a host with one method on a port."""

    method: str
    mode: str
    told: str = ""
    """What is worth knowing of the mode."""
    plan: HostPlan | None = None
    against: str = ""
    """Why there is no plan."""
    problems: tuple[tuple[str, str], ...] = ()
    """The same as the planner tells it, where it was asked."""


def _anyway(tried: Mapping[str, _Trial]) -> frozenset[str]:
    """Kernel arguments that nothing works without whatever the port's method is: other ports need them."""
    plans = [trial.plan for trial in tried.values() if trial.plan is not None]
    needed = [{entry.argument for entry in plan.kernel_arguments if entry.essential} for plan in plans]
    return frozenset.intersection(*map(frozenset, needed)) if len(needed) > 1 else frozenset()


@dataclass(frozen=True, slots=True)
class _Advisor:
    """Judges the ports of one host."""

    config: CaptureConfig
    machine: Machine
    network: Network
    means: Means
    held: int

    def provisional(self) -> list[str]:
        """A method for each port while the others are judged: its own, else what it could have if it were alone."""
        methods = [self.config.method_of(interface) for interface in self.config.interfaces]
        autos = [index for index, method in enumerate(methods) if method == AUTO_METHOD]
        for index in autos:
            if len(autos) > 1:
                alone = replace(self, config=with_ports(self.config, self.config.interfaces[index]))
                chosen = alone.port(0, [AUTO_METHOD]).chosen
            else:
                chosen = None
            methods[index] = chosen or "af_packet"
        return methods

    def port(self, index: int, methods: Sequence[str]) -> PortAdvice:
        """Judge one port, given the methods of the others."""
        interface = self.config.interfaces[index]
        nic, link = locate(self.config, self.machine, self.network, interface)
        subject = Subject(self.config, self.machine, self.means, index, nic, link)
        asked, wanted = (
            self.config.method_of(interface),
            expected(self.config, interface, subject.speed, wireless=subject.wireless),
        )
        refusals = tuple(guard.refusals(self.network, link.name)) if link is not None else ()
        if refusals:
            return PortAdvice(subject, asked, wanted, refusals, (), None)
        blind = tuple(limits(subject.label, nic, link, self.machine))
        tried = {method: self._try(subject, method, methods) for method in METHODS}
        candidates = [self._judge(subject, trial, wanted, _anyway(tried)) for trial in tried.values()]
        ranked = tuple(sorted(candidates, key=_rank))
        told = [trial.problems for trial in tried.values() if trial.problems]
        # The same against every method that could be tried: it is the port, or the host, and no method's matter.
        common = told[0] if told and len(set(told)) == 1 and all(c.verdict == "impossible" for c in ranked) else ()
        chosen, kept = self._choose(subject, ranked)
        return PortAdvice(subject, asked, wanted, (), ranked, chosen, kept, common, blind)

    def _try(self, subject: Subject, method: str, methods: Sequence[str]) -> _Trial:
        mode, told = mode_of(method, subject)
        against = tuple(obstacles(method, mode, subject))
        if against:
            return _Trial(method, mode, against="; ".join(against))
        tried = [method if at == subject.index else other for at, other in enumerate(methods)]
        try:
            planned = plan_host(self.config, self.machine, self.network, self.held, Decided(tuple(tried)))
        except PlanError as error:
            sentence = "; ".join(sentence for _, sentence in error.problems)
            return _Trial(method, mode, against=sentence, problems=error.problems)
        return _Trial(method, mode, told, planned)

    def _judge(self, subject: Subject, trial: _Trial, wanted: Expected, anyway: frozenset[str]) -> Candidate:
        method, mode, planned = trial.method, trial.mode, trial.plan
        if planned is None:
            return Candidate(method, mode, "impossible", None, trial.against)
        figures = self.means.figures(self.machine.kernel_release)
        rate = estimate(method, mode, len(planned.ports[subject.index].workers), figures, subject.speed)
        # More may be expected than the link carries; it brings no more.
        arriving = min(wanted.pps, line_rate(subject.speed)) if subject.speed is not None else wanted.pps
        verdict: Verdict = "tests" if method == "pcap" else "enough" if rate.total >= arriving else "short"
        why = PRIORS[method, mode].why
        reason = f"{trial.told}: {why}" if trial.told else why
        return Candidate(method, mode, verdict, rate, reason, tuple(changes(method, subject, planned, anyway)))

    def _choose(self, subject: Subject, ranked: Iterable[Candidate]) -> tuple[str | None, bool]:
        """What `auto` takes, and whether that is an earlier choice."""
        if subject.wireless:
            return None, False
        usable = {"nothing", "deployment"} if self.means.prepares else {"nothing"}
        known = self.means.choices.get(subject.interface.identity)
        same = known is not None and (known.nature, dict(known.settings)) == (
            subject.nature,
            basis(self.config, subject.index),
        )
        fit = [c.method for c in ranked if c.verdict in {"enough", "short"} and c.needs in usable]
        # The supervisor follows what the deployment decided, and says what is wrong where that does not work.
        follows = not self.means.prepares and known is not None and known.method in METHODS
        if known is not None and same and not self.means.again and (follows or known.method in fit):
            return known.method, True
        return (fit[0] if fit else None), False


def _rank(candidate: Candidate) -> tuple[int, int, int]:
    effort = f"{candidate.method} {candidate.mode}"
    place = _EFFORT.index(effort if effort in _EFFORT else candidate.method)
    total = candidate.rate.total if candidate.rate and candidate.verdict == "short" else 0
    return _ORDER.index(candidate.verdict), -total, place
