using System.Text.Json;
using LongCat.ML.Training.Pretraining;

namespace LongCat.ML.Training.Reports;

/// <summary>
/// A run's log, one JSON object per line: steps (<c>step, tokens, epoch, loss, draft_loss, balance, real_experts, learning_rate, gradient_norm, tokens_per_second, seconds</c>)
/// and evaluations (<c>step, tokens, held_out_loss, perplexity, draft_agreement</c>).
/// </summary>
public sealed class TrainingLog : IDisposable
{
    private readonly StreamWriter _writer;

    /// <summary>Opens the log for appending; lines beyond the step at which the run resumes are dropped first.</summary>
    /// <param name="path">The file.</param>
    /// <param name="resumedAt">Steps already made; 0 begins a new log.</param>
    public TrainingLog(string path, long resumedAt)
    {
        if (File.Exists(path))
        {
            string[] kept = resumedAt == 0 ? [] : [.. File.ReadLines(path).Where(line => StepOf(line) <= resumedAt)];
            File.WriteAllLines(path, kept);
        }

        _writer = new StreamWriter(path, append: true) { AutoFlush = true };
    }

    /// <summary>Appends a step.</summary>
    /// <param name="report">The step.</param>
    /// <param name="tokensPerSecond">The rate since the line before.</param>
    /// <param name="elapsed">Time trained.</param>
    public void Add(StepReport report, double tokensPerSecond, TimeSpan elapsed) => Write(new Dictionary<string, object>
    {
        ["step"] = report.Step,
        ["tokens"] = report.Tokens,
        ["epoch"] = report.Epoch,
        ["loss"] = Rounded(report.Loss),
        ["draft_loss"] = Rounded(report.DraftLoss),
        ["balance"] = Rounded(report.Balance),
        ["real_experts"] = Rounded(report.RealExperts),
        ["learning_rate"] = report.LearningRate,
        ["gradient_norm"] = Rounded(report.GradientNorm),
        ["tokens_per_second"] = Math.Round(tokensPerSecond),
        ["seconds"] = Math.Round(elapsed.TotalSeconds, 1),
    });

    /// <summary>Appends an evaluation.</summary>
    /// <param name="step">Steps made.</param>
    /// <param name="tokens">Tokens seen.</param>
    /// <param name="report">The evaluation.</param>
    public void Add(long step, long tokens, HeldOutReport report) => Write(new Dictionary<string, object>
    {
        ["step"] = step,
        ["tokens"] = tokens,
        ["held_out_loss"] = Rounded(report.Loss),
        ["perplexity"] = Rounded(report.Perplexity),
        ["draft_agreement"] = Rounded(report.DraftAgreement),
    });

    /// <inheritdoc/>
    public void Dispose() => _writer.Dispose();

    private static long StepOf(string line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.GetProperty("step").GetInt64();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            // A line cut short by a kill.
            return long.MaxValue;
        }
    }

    // JSON knows no NaN; null says that there was nothing to measure.
    private static object Rounded(double value) => double.IsFinite(value) ? Math.Round(value, 5) : null!;

    private void Write(Dictionary<string, object> line) => _writer.WriteLine(JsonSerializer.Serialize(line));
}
