"""Dashboard Campaign: progress, price, and trust in the scores, on one screen."""

from __future__ import annotations

from controller.monitoring.dashboards.grafana import AMBER, BLUE, GREEN, GREY, RED, Dashboard, Panel, Query
from controller.monitoring.dashboards.queries import DUTY, OUTCOMES, VERDICTS, increase, metric, total

HEADLINES = (
    Panel(
        title="Experiments per hour",
        description="Judged in the last hour; reruns and the baseline do not count.",
        kind="stat",
        queries=(Query(expr=f"sum({increase('experiments_total', 'campaign')})", name="per hour"),),
        digits=0,
        width=4,
        height=5,
    ),
    Panel(
        title="Kept",
        description="Edits that became part of the branch, and experiments judged, since the campaign began.",
        kind="stat",
        queries=(
            Query(expr=f"sum({total('experiments_total', 'verdict', verdict='keep')})", name="kept", colour=GREEN),
            Query(expr=f"sum({total('experiments_total', 'verdict')})", name="judged", colour=BLUE),
        ),
        digits=0,
        width=4,
        height=5,
    ),
    Panel(
        title="Incumbent",
        description="Estimated score of the code at the head of the branch, and sigma: how much one run varies.",
        kind="stat",
        queries=(
            Query(expr=total("incumbent_score", "metric"), name="{{metric}}"),
            Query(expr=total("score_sigma", "metric"), name="sigma"),
        ),
        digits=4,
        empty="no score yet",
        width=4,
        height=5,
    ),
    Panel(
        title="Slot duty",
        description="Share of the slots that ran an attempt, over the last hour. Below 90 % something keeps GPUs idle.",
        kind="stat",
        unit="percentunit",
        queries=(Query(expr=DUTY, name="duty"),),
        least=0,
        most=1,
        width=4,
        height=5,
    ),
    Panel(
        title="Cost of a kept edit",
        description="Dollars for the model and for GPUs, divided by the number of kept edits.",
        kind="stat",
        unit="currencyUSD",
        queries=(Query(expr=total("dollars_per_keep", "campaign"), name="per keep"),),
        digits=2,
        empty="nothing kept yet",
        width=4,
        height=5,
    ),
    Panel(
        title="Budget used",
        description="Share of each limit that is used; at 100 % of any one the campaign ends.",
        kind="bargauge",
        unit="percentunit",
        queries=(Query(expr=total("budget_used_ratio", "limit"), name="{{limit}}"),),
        least=0,
        most=1,
        limits=((0.8, AMBER), (0.95, RED)),
        width=4,
        height=5,
    ),
)

JUST_NOW = f"sum by (verdict) (increase({metric('experiments_total')}[$__rate_interval])) > 0"
SCORES = Panel(
    title="Score of every experiment",
    description=(
        "A dot for each experiment when it was judged; the line is the incumbent's estimated score, the band one "
        "sigma of one run. Red lines are scores that the exam rejected. Where several experiments of one verdict "
        "are judged between two scrapes the last has the dot; the live page has them all."
    ),
    queries=(
        Query(
            expr=f"max(({metric('incumbent_score')} - {metric('score_sigma')}))",
            name="incumbent - sigma",
            draw="edge",
            colour=GREEN,
        ),
        Query(
            expr=f"max(({metric('incumbent_score')} + {metric('score_sigma')}))",
            name="incumbent + sigma",
            draw="band",
            colour=GREEN,
        ),
        Query(expr=f"max({metric('incumbent_score')})", name="incumbent", draw="step", colour=GREEN),
        Query(expr=f"max({metric('baseline_score')})", name="baseline", draw="dashed", colour=BLUE),
        Query(
            expr=f"{total('last_score', 'verdict')} and on (verdict) ({JUST_NOW})", name="{{verdict}}", draw="points"
        ),
    ),
    digits=4,
    colours=VERDICTS,
    width=24,
    height=12,
)

COURSE = (
    Panel(
        title="Verdicts per hour",
        description="Experiments judged in the hour before each point, by verdict.",
        queries=(Query(expr=increase("experiments_total", "verdict"), name="{{verdict}}", draw="bars"),),
        stacked=True,
        least=0,
        colours=VERDICTS,
        width=8,
    ),
    Panel(
        title="What runs and what waits",
        description="Wanted above busy for long: slots are missing. Busy below slots: proposals are missing.",
        queries=(
            Query(expr=total("slots", "campaign"), name="slots", draw="dashed", colour=GREY),
            Query(expr=total("slots_busy", "campaign"), name="busy", draw="step", colour=GREEN),
            Query(expr=total("slots_wanted", "campaign"), name="wanted", draw="step", colour=AMBER),
            Query(expr=total("proposals_ready", "campaign"), name="proposals ready", draw="step", colour=BLUE),
            Query(expr=total("proposals_in_flight", "campaign"), name="agent at work", draw="step", colour="purple"),
            Query(
                expr=f"sum({total('proposals_waiting', 'reason')})",
                name="agent waits for its API",
                draw="step",
                colour=RED,
            ),
        ),
        least=0,
        width=8,
    ),
    Panel(
        title="Where the time of attempts goes",
        description=(
            "Hours in the range shown. queue: waiting for a machine; start: image pull and container starts; "
            "train: what the budget buys; examine: the exam."
        ),
        kind="bargauge",
        unit="s",
        queries=(
            Query(expr=increase("phase_duration_seconds_sum", "phase", over="$__range"), name="{{phase}}", now=True),
        ),
        least=0,
        width=8,
    ),
)

TRUST = (
    Panel(
        title="Freshness of the kept edits",
        description=(
            "How much better the kept edits' runs are, against a reference model, on text that every exam asks than on "
            "text never asked before. Zero for honest code; a rise beyond the error is overfitting or a leak."
        ),
        queries=(
            Query(expr=f"max({metric('incumbent_freshness_nats')})", name="nats", draw="step", colour=GREEN),
            Query(expr=f"max({metric('incumbent_freshness_error_nats')})", name="its error", draw="step", colour=BLUE),
        ),
        digits=4,
        width=8,
    ),
    Panel(
        title="Exam inflation of the incumbent",
        description=(
            "How much better the model knows the next token when it is in the input: zero for an honest model. "
            "Beyond its limit the exam rejects; a slow rise below it deserves a look at the kept diffs."
        ),
        queries=(Query(expr=f"max({metric('incumbent_exam_inflation_nats')})", name="nats", draw="step"),),
        digits=5,
        width=8,
    ),
    Panel(
        title="Attempts per hour by outcome",
        description="Trainings that ended in the hour before each point, reruns and the baseline among them.",
        queries=(Query(expr=increase("attempts_total", "outcome"), name="{{outcome}}", draw="bars"),),
        stacked=True,
        least=0,
        colours=OUTCOMES,
        width=8,
    ),
)

STUDIES_AND_DOUBTS = (
    Panel(
        title="Runs of studies",
        description="Ended runs of claims, ablations and others, as of the controller's start. No verdict rests on it.",
        queries=(Query(expr=total("study_attempts_total", "kind"), name="{{kind}}", draw="step"),),
        least=0,
        width=12,
        height=5,
    ),
    Panel(
        title="Kept edits in doubt",
        description=(
            "Kept edits that later runs spoke against and that were left out to test them, since the campaign began: "
            "undone, or stood, also where the program does not run without them. Begun above both: one is tested now."
        ),
        queries=(
            Query(expr=total("doubts_begun_total", "campaign"), name="begun", draw="dashed", colour=GREY),
            Query(
                expr=f"sum({total('doubts_total', 'result', result='undone')})", name="undone", draw="step", colour=RED
            ),
            Query(
                expr=f"sum({total('doubts_total', 'result', result='stays|crash|reject')})",
                name="stood",
                draw="step",
                colour=GREEN,
            ),
        ),
        digits=0,
        least=0,
        width=12,
        height=5,
    ),
)

CAMPAIGN = Dashboard(
    uid="autoresearch-campaign",
    title="Autoresearch / Campaign",
    description="Does it make progress, at what price, and can the scores be trusted?",
    rows=(HEADLINES, (SCORES,), COURSE, TRUST, STUDIES_AND_DOUBTS),
    marks=(
        ("rejected by the exam", RED, f"{increase('experiments_total', 'verdict', verdict='reject', over='2m')} > 0"),
    ),
)
