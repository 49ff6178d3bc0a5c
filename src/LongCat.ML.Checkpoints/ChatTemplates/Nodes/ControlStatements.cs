namespace LongCat.ML.Checkpoints;

/// <summary><c>if</c> with its <c>elif</c> and <c>else</c>.</summary>
internal sealed class IfStatement(string template, int line, (TemplateExpression Condition, TemplateStatement[] Body)[] branches, TemplateStatement[] otherwise) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        foreach ((TemplateExpression condition, TemplateStatement[] body) in branches)
        {
            if (TemplateOrder.IsTrue(condition.Evaluate(run, scope)))
            {
                return Execute(body, run, scope);
            }
        }

        return Execute(otherwise, run, scope);
    }
}

/// <summary><c>for</c>. Every turn has a scope of its own: what it sets is gone afterwards.</summary>
internal sealed class ForStatement(
    string template, int line, TemplateTarget target, TemplateExpression items, TemplateExpression? condition, bool recursive, TemplateStatement[] body, TemplateStatement[] otherwise)
    : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        Run(run, scope, items.Evaluate(run, scope), 0);
        return TemplateSignal.None;
    }

    private void Run(TemplateRun run, TemplateScope scope, object? source, int depth)
    {
        IReadOnlyList<object?> all = TemplateMembers.Iterate(run, source);
        if (condition is not null)
        {
            List<object?> chosen = [];
            foreach (object? item in all)
            {
                TemplateScope trial = new(scope);
                target.Assign(trial, item);
                if (TemplateOrder.IsTrue(condition.Evaluate(run, trial)))
                {
                    chosen.Add(item);
                }
            }

            all = chosen;
        }

        TemplateLoop loop = new(all, depth, recursive ? (inner, children) => inner.Capture(() => Run(inner, scope, children, depth + 1)) : null);

        // As in the reference, a turn that breaks or continues does not count: where no turn reached its end, there was none.
        bool any = false;
        for (int i = 0; i < all.Count; i++)
        {
            run.Step();
            loop.Index = i;
            TemplateScope turn = new(scope);
            turn.Set("loop", loop);
            target.Assign(turn, all[i]);
            TemplateSignal signal = Execute(body, run, turn);
            any |= signal == TemplateSignal.None;
            if (signal == TemplateSignal.Break)
            {
                break;
            }
        }

        if (!any)
        {
            Execute(otherwise, run, new TemplateScope(scope));
        }
    }
}

/// <summary><c>break</c> or <c>continue</c>.</summary>
internal sealed class JumpStatement(string template, int line, TemplateSignal signal) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope) => signal;
}
