using System.Diagnostics;
using System.Globalization;

namespace LongCat.ML.CommandLine;

/// <summary>
/// Progress with rate and time left on standard error for work that takes more than two seconds: one line that is rewritten on a terminal,
/// a plain line every ten seconds otherwise. Thread-safe.
/// </summary>
internal sealed class ProgressLine(string what, string unit, TextWriter? writer = null, bool? terminal = null) : IDisposable
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(2);
    private readonly TextWriter _writer = writer ?? Console.Error;
    private readonly bool _terminal = terminal ?? !Console.IsErrorRedirected;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Lock _gate = new();
    private TimeSpan _last;
    private int _width;
    private bool _written;

    public void Report(double done, double total, string? detail = null)
    {
        lock (_gate)
        {
            TimeSpan now = _clock.Elapsed;
            TimeSpan every = _terminal ? TimeSpan.FromMilliseconds(200) : TimeSpan.FromSeconds(10);
            if (now < Quiet || (_written && now - _last < every))
            {
                return;
            }

            _last = now;
            _written = true;
            Write(Text(done, total, now, detail));
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_written && _terminal)
            {
                _writer.WriteLine();
                _written = false;
            }
        }
    }

    internal string Text(double done, double total, TimeSpan elapsed, string? detail)
    {
        double rate = done / Math.Max(elapsed.TotalSeconds, 1e-9);
        string share = total > 0 ? $" {Math.Clamp(done / total, 0, 1):P0}".Replace(" %", "%", StringComparison.Ordinal) : "";
        string left = total > 0 && rate > 0 ? $", {Span(TimeSpan.FromSeconds(Math.Min((total - done) / rate, 359_999)))} left" : "";
        return $"{what}:{share} {Amount(done)} at {Amount(rate)}/s{left}{(detail is null ? "" : $", {detail}")}";
    }

    /// <summary>A unit that is a word brings its own space.</summary>
    private string Amount(double value) => (unit.StartsWith(' ') ? Scaled(value).TrimEnd() : Scaled(value)) + unit;

    internal static string Scaled(double value) => Math.Abs(value) switch
    {
        >= 1e9 => (value / 1e9).ToString("0.00 G", CultureInfo.InvariantCulture),
        >= 1e6 => (value / 1e6).ToString("0.0 M", CultureInfo.InvariantCulture),
        >= 1e4 => (value / 1e3).ToString("0.0 k", CultureInfo.InvariantCulture),
        >= 100 => value.ToString("0 ", CultureInfo.InvariantCulture),
        _ => value.ToString("0.# ", CultureInfo.InvariantCulture),
    };

    private static string Span(TimeSpan time) => time.TotalHours >= 1
        ? $"{(int)time.TotalHours} h {time.Minutes} min"
        : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds} s" : $"{time.Seconds} s";

    private void Write(string line)
    {
        if (_terminal)
        {
            _writer.Write("\r" + line.PadRight(_width));
            _width = line.Length;
        }
        else
        {
            _writer.WriteLine(line);
        }
    }
}
