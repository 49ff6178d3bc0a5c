using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Arithmetic of two values.</summary>
internal sealed class ArithmeticExpression(string template, int line, string symbol, TemplateExpression left, TemplateExpression right) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => TemplateArithmetic.Apply(run, symbol, left.Evaluate(run, scope), right.Evaluate(run, scope));
}

/// <summary>A sign before a number.</summary>
internal sealed class SignExpression(string template, int line, bool negative, TemplateExpression operand) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => operand.Evaluate(run, scope) switch
    {
        long whole when negative => whole == long.MinValue ? throw new TemplateFault("the number does not fit 64 bits") : (object)-whole,
        long whole => whole,
        double number => negative ? -number : number,
        bool flag => flag ? (negative ? -1L : 1L) : 0L,
        TemplateUndefined undefined => throw undefined.Fault(),
        object other => throw new TemplateFault($"{TemplateText.TypeOf(other)} has no sign"),
        null => throw new TemplateFault("none has no sign"),
    };
}

/// <summary>Texts joined by <c>~</c>.</summary>
internal sealed class ConcatenationExpression(string template, int line, TemplateExpression[] parts) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope)
    {
        StringBuilder text = new();
        foreach (TemplateExpression part in parts)
        {
            string piece = TemplateText.Of(run, part.Evaluate(run, scope));
            run.Charge(piece.Length);
            text.Append(piece);
        }

        return text.ToString();
    }
}

/// <summary><c>and</c> or <c>or</c>: gives the operand that decides.</summary>
internal sealed class LogicalExpression(string template, int line, bool isAnd, TemplateExpression left, TemplateExpression right) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope)
    {
        object? value = left.Evaluate(run, scope);
        return TemplateOrder.IsTrue(value) == isAnd ? right.Evaluate(run, scope) : value;
    }
}

/// <summary><c>not</c>.</summary>
internal sealed class NotExpression(string template, int line, TemplateExpression operand) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => !TemplateOrder.IsTrue(operand.Evaluate(run, scope));
}

/// <summary>Comparisons in a row: <c>a &lt; b &lt; c</c> holds when both do.</summary>
internal sealed class ComparisonExpression(string template, int line, TemplateExpression first, (string Symbol, TemplateExpression Right)[] rest) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope)
    {
        object? left = first.Evaluate(run, scope);
        foreach ((string symbol, TemplateExpression expression) in rest)
        {
            object? right = expression.Evaluate(run, scope);
            if (!TemplateArithmetic.Holds(run, symbol, left, right))
            {
                return false;
            }

            left = right;
        }

        return true;
    }
}

/// <summary><c>a if condition else b</c>; without an else undefined.</summary>
internal sealed class ConditionalExpression(string template, int line, TemplateExpression condition, TemplateExpression yes, TemplateExpression? no) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => TemplateOrder.IsTrue(condition.Evaluate(run, scope))
        ? yes.Evaluate(run, scope)
        : no is null ? new TemplateUndefined("the condition is false and there is no `else`") : no.Evaluate(run, scope);
}
