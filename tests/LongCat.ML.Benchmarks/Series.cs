using System.Diagnostics;

namespace LongCat.ML.Benchmarks;

/// <summary>The repetitions of one case; the first, which warms up, is not among them.</summary>
internal sealed class Series(bool higherIsBetter, IReadOnlyList<double> values)
{
    public double Best => higherIsBetter ? values.Max() : values.Min();

    /// <summary>Repeats a measurement that returns its value.</summary>
    public static Series Of(int repetitions, bool higherIsBetter, Func<double> measure) =>
        new(higherIsBetter, [.. Enumerable.Range(0, repetitions + 1).Select(_ => measure()).ToArray().Skip(1)]);

    /// <summary>Repeats measurements in turns, so that what else the machine does meets all of them; higher is better.</summary>
    /// <returns>A series of each, and the median over the turns of its ratio to the last one.</returns>
    public static (Series[] Each, double[] TimesLast) InTurns(int repetitions, int count, Func<int, double> measure, bool warmUp = true)
    {
        int skipped = warmUp ? 1 : 0;
        double[][] turns = [.. Enumerable.Range(0, repetitions + skipped).Select(_ => Enumerable.Range(0, count).Select(measure).ToArray()).ToArray().Skip(skipped)];
        return ([.. Enumerable.Range(0, count).Select(i => new Series(true, [.. turns.Select(turn => turn[i])]))],
            [.. Enumerable.Range(0, count).Select(i => Median([.. turns.Select(turn => turn[i] / turn[^1])]))]);
    }

    /// <summary>The same for two measurements that one function makes.</summary>
    public static (Series First, Series Second, double Ratio) InTurns(int repetitions, Func<(double First, double Second)> measure)
    {
        (double First, double Second)[] turns = [.. Enumerable.Range(0, repetitions + 1).Select(_ => measure()).ToArray().Skip(1)];
        return (new Series(true, [.. turns.Select(turn => turn.First)]), new Series(true, [.. turns.Select(turn => turn.Second)]),
            Median([.. turns.Select(turn => turn.First / turn.Second)]));
    }

    public static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>The line of the report. The spread lies between the worst and the best repetition, as a share of the best.</summary>
    public Figure ToFigure(string part, string name, string unit, int threads, params (string Name, double Value)[] more) => new(
        part, name, threads, unit, Best, Median([.. values]), (values.Max() - values.Min()) / Best, values.Count,
        more.ToDictionary(entry => entry.Name, entry => entry.Value));

    private static double Median(double[] values)
    {
        Array.Sort(values);
        return (values[(values.Length - 1) / 2] + values[values.Length / 2]) / 2;
    }
}

/// <summary>One line of the report. <see cref="Threads"/> is 0 where it does not matter.</summary>
internal sealed record Figure(
    string Part, string Name, int Threads, string Unit, double Best, double Median, double Spread, int Runs, IReadOnlyDictionary<string, double> More)
{
    /// <summary>Whether the case reaches what is asked of it, and what it misses; null where nothing is asked.</summary>
    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
    public string? Verdict { get; init; }

    public override string ToString() => FormattableString.Invariant(
        $"{Name}, {Threads} threads: {Best:G4} {Unit}{string.Concat(More.Select(entry => FormattableString.Invariant($"; {entry.Key} {entry.Value:G3}")))}{(Verdict is null ? "" : $"; {Verdict}")}");
}
