using System.Runtime.CompilerServices;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// One rendering of a template: its output and its budget. Everything that a template can make is paid for in characters before it is made, so time and
/// memory are bounded whatever the template does.
/// </summary>
/// <param name="clock">The clock behind <c>strftime_now</c>.</param>
/// <param name="inputSize">Characters of messages, tools and variables: a longer chat may cost more.</param>
internal sealed class TemplateRun(TimeProvider clock, long inputSize)
{
    /// <summary>What one evaluated node costs.</summary>
    private const int NodeCost = 32;

    /// <summary>A published template spends a few thousand on a message; this allows millions of nodes and still ends within about a second.</summary>
    private const long BaseBudget = 1L << 26;

    /// <summary>How often a template may copy its input.</summary>
    private const long CopiesOfInput = 256;

    private const int DeepestCall = 64;

    private readonly long _budget = BaseBudget + (CopiesOfInput * inputSize);
    private long _spent;
    private int _calls;

    public TimeProvider Clock { get; } = clock;

    /// <summary>What the statements write to; macros and blocks put their own in its place for a while.</summary>
    public StringBuilder Output { get; private set; } = new();

    /// <summary>Pays for one node.</summary>
    public void Step()
    {
        Charge(NodeCost);
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw new TemplateFault("the template is nested too deeply");
        }
    }

    /// <summary>Pays for characters (or work of that size) that are about to be made.</summary>
    /// <exception cref="TemplateFault">The budget is spent.</exception>
    public void Charge(long characters)
    {
        _spent += characters;
        if (characters > _budget || _spent > _budget)
        {
            throw new TemplateFault($"the template asks for more work than {_budget} characters' worth; it probably does not end or multiplies its input");
        }
    }

    /// <summary>Writes text.</summary>
    public void Write(string text)
    {
        Charge(text.Length);
        Output.Append(text);
    }

    /// <summary>What a body writes.</summary>
    public string Capture(Action body)
    {
        if (++_calls > DeepestCall)
        {
            throw new TemplateFault($"macros and recursive loops may call each other {DeepestCall} deep");
        }

        StringBuilder outer = Output;
        Output = new StringBuilder();
        try
        {
            body();
            return Output.ToString();
        }
        finally
        {
            Output = outer;
            _calls--;
        }
    }
}
