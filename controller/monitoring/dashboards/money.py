"""Dashboard Money: costs, the gains for them, and the end of the budget."""

from __future__ import annotations

from controller.monitoring.dashboards.grafana import AMBER, GREEN, RED, Dashboard, Panel, Query
from controller.monitoring.dashboards.queries import increase, metric, total

SPENT = total("spent_dollars", "kind")
RATIO = total("budget_used_ratio", "limit")
SPENDING = (
    Panel(
        title="Spent",
        description="Since the campaign began; model calls in flight count as the most that they can cost.",
        kind="stat",
        unit="currencyUSD",
        queries=(Query(expr=SPENT, name="{{kind}}"),),
        digits=2,
        width=6,
        height=6,
    ),
    Panel(
        title="Cost of an experiment and of a kept edit",
        description="Dollars for the model and for GPUs, divided by the judged experiments and by the kept edits.",
        kind="stat",
        unit="currencyUSD",
        queries=(
            Query(expr=total("dollars_per_experiment", "campaign"), name="experiment"),
            Query(expr=total("dollars_per_keep", "campaign"), name="kept edit", colour=GREEN),
        ),
        digits=2,
        empty="nothing kept yet",
        width=4,
        height=6,
    ),
    Panel(
        title="GPU time of a kept edit",
        description="Accelerator time of all tries, divided by the number of kept edits.",
        kind="stat",
        unit="s",
        queries=(Query(expr=total("gpu_seconds_per_keep", "campaign"), name="GPU time"),),
        empty="nothing kept yet",
        width=4,
        height=6,
    ),
    Panel(
        title="Budget used",
        description="Share of each limit that is used; at 100 % of any one the campaign ends.",
        kind="bargauge",
        unit="percentunit",
        queries=(Query(expr=RATIO, name="{{limit}}"),),
        least=0,
        most=1,
        limits=((0.8, AMBER), (0.95, RED)),
        width=5,
        height=6,
    ),
    Panel(
        title="Time to budget",
        description="When each limit will be reached at the pace of the last hour.",
        kind="stat",
        unit="s",
        queries=(
            Query(
                expr=f"clamp_min(1 - {RATIO}, 0) / (max by (limit) (deriv({metric('budget_used_ratio')}[1h])) > 0)",
                name="{{limit}}",
            ),
        ),
        digits=0,
        empty="nothing is being spent",
        width=5,
        height=6,
    ),
)

RATES = (
    Panel(
        title="Spending per hour",
        description="Dollars in the hour before each point.",
        unit="currencyUSD",
        queries=(Query(expr=f"sum by (kind) (delta({metric('spent_dollars')}[1h]))", name="{{kind}}", draw="bars"),),
        stacked=True,
        colours={"model": "purple", "gpu": GREEN},
        width=8,
    ),
    Panel(
        title="Cost of a kept edit over time",
        description="Rising: gains become dearer, as they do on every plateau.",
        unit="currencyUSD",
        queries=(Query(expr=total("dollars_per_keep", "campaign"), name="per keep", draw="step", colour=GREEN),),
        least=0,
        empty="nothing kept yet",
        width=8,
    ),
    Panel(
        title="Budget used over time",
        description="Spent and in flight, as a share of each limit.",
        unit="percentunit",
        queries=(Query(expr=RATIO, name="{{limit}}", draw="step"),),
        least=0,
        most=1,
        width=8,
    ),
)

TOKENS = metric("agent_tokens_total", kind="input|cache_write|cache_read")
CACHED = metric("agent_tokens_total", kind="cache_read")
AGENT = (
    Panel(
        title="Tokens per hour",
        description="Of model calls, by how they are billed.",
        queries=(Query(expr=increase("agent_tokens_total", "kind"), name="{{kind}}", draw="bars"),),
        stacked=True,
        least=0,
        width=8,
    ),
    Panel(
        title="Prompt read from the cache",
        description="Share of the prompts' tokens that came from the cache, over the last hour. 80 % is usual.",
        unit="percentunit",
        queries=(
            Query(expr=f"sum(increase({CACHED}[1h])) / (sum(increase({TOKENS}[1h])) > 0)", name="cached", colour=GREEN),
        ),
        least=0,
        most=1,
        empty="no model calls",
        width=8,
    ),
    Panel(
        title="Proposals per hour",
        description="Refused: sent back as tried, broken or empty, or given up by the agent. They cost tokens, no GPU.",
        queries=(Query(expr=increase("proposals_total", "result"), name="{{result}}", draw="bars"),),
        stacked=True,
        least=0,
        colours={"admitted": GREEN, "refused": AMBER},
        width=8,
    ),
)

PAID_FOR = (
    Panel(
        title="What each strategy brought",
        description=(
            "Judged experiments by the way they were thought of: all, kept, and crashed or rejected; and dollars for "
            "their proposals and their GPUs."
        ),
        kind="table",
        queries=(
            Query(
                expr=f"sum by (strategy) ({total('strategy_experiments_total', 'strategy, verdict')})",
                name="judged",
                now=True,
            ),
            Query(
                expr=f"sum by (strategy) ({total('strategy_experiments_total', 'strategy, verdict', verdict='keep')})",
                name="kept",
                now=True,
            ),
            Query(
                expr=(
                    "sum by (strategy) ("
                    f"{total('strategy_experiments_total', 'strategy, verdict', verdict='crash|reject')})"
                ),
                name="failed",
                now=True,
            ),
            Query(expr=total("strategy_spent_dollars", "strategy"), name="dollars", now=True, unit="currencyUSD"),
        ),
        digits=0,
        width=12,
    ),
    Panel(
        title="What GPU time was paid for",
        description="Accelerator time since the campaign began, by outcome of the attempt.",
        kind="bargauge",
        unit="s",
        queries=(Query(expr=total("gpu_seconds_total", "outcome"), name="{{outcome}}"),),
        least=0,
        width=12,
    ),
)

MONEY = Dashboard(
    uid="autoresearch-money",
    title="Autoresearch / Money",
    description="What it costs, what that buys, and when the budget ends.",
    rows=(SPENDING, RATES, AGENT, PAID_FOR),
)
