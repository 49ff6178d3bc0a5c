using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Commands;

/// <summary>What <c>longcat score</c> did, for a reader and for the exit code.</summary>
internal sealed class ScoreOutcome
{
    private readonly JobSummary? _summary;
    private readonly string? _side;
    private readonly int _code;

    /// <param name="summary">Rows and failures.</param>
    /// <param name="Side">The file of failed rows; null where they carry their error alone.</param>
    public ScoreOutcome(JobSummary summary, string? Side)
    {
        (_summary, _side) = (summary, Side);
        What = $"{summary.Rows} rows";
        New = summary.Rows;
    }

    /// <param name="code">The exit code of processes that have said themselves what they did.</param>
    public ScoreOutcome(int code) => _code = code;

    /// <summary>The rows in words.</summary>
    public string What { get; init; } = "";

    /// <summary>Rows that this process ran.</summary>
    public long New { get; init; }

    /// <summary>Writes the summary.</summary>
    /// <param name="error">Standard error.</param>
    /// <param name="maxFailed">How many rows may fail.</param>
    /// <returns>The exit code.</returns>
    public int Report(TextWriter error, long maxFailed)
    {
        if (_summary is null)
        {
            return _code;
        }

        error.WriteLine(FormattableString.Invariant($"{What}, {_summary.Failed} failed, {New / Math.Max(_summary.Elapsed.TotalSeconds, 1e-9):0.0} rows/s"));
        if (_summary.Failed == 0)
        {
            return CommandHost.Success;
        }

        bool allowed = _summary.Failed <= maxFailed;
        error.WriteLine($"{(allowed ? "note" : "error")}: {_summary.Failed} of {_summary.Rows} rows failed; their objects in the output carry an error field{(_side is null ? "" : $", and {_side} lists them")} (first: {_summary.FirstError})");
        return allowed ? CommandHost.Success : CommandHost.FailingInput;
    }
}
