using System.Globalization;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.FineTuning;

/// <content>What remains of a run: the adapter (or the checkpoint) and the report.</content>
public sealed partial class FineTuner
{
    private const string ReportFile = "report.html";

    /// <summary>
    /// Writes the result with its <c>report.html</c>: an adapter in PEFT's layout (with <c>afa_state.json</c> only while β is above 0), or after full fine-tuning a checkpoint.
    /// The folder appears under its name when it is whole.
    /// </summary>
    /// <param name="folder">The folder to write.</param>
    /// <param name="overwrite">Whether to replace an adapter or a checkpoint that is there; anything else is never replaced.</param>
    /// <returns>The report's path.</returns>
    /// <exception cref="IOException">Something is in the way; the message says what, and what to do.</exception>
    /// <exception cref="InvalidOperationException">Full fine-tuning of a model that was not opened from a folder.</exception>
    public string Save(string folder, bool overwrite = false)
    {
        OutputFolder.Check(folder, overwrite);
        OutputFolder.Write(folder, overwrite, partial =>
        {
            _weights.Write(partial);
            File.WriteAllText(Path.Combine(partial, ReportFile), Report());
        });
        return Path.Combine(folder, ReportFile);
    }

    /// <summary>Checks that <see cref="Save"/> may write a folder, before any work is done.</summary>
    /// <param name="folder">The folder to write.</param>
    /// <param name="overwrite">As <see cref="Save"/> will be told.</param>
    /// <exception cref="IOException">Something is in the way; the message says what, and what to do.</exception>
    public static void CheckOutput(string folder, bool overwrite) => OutputFolder.Check(folder, overwrite);

    /// <summary>The run so far as an HTML page that needs no network: figures, curves of loss, learning rate, β and gradient norm, settings, trained parameters.</summary>
    /// <returns>The page.</returns>
    public string Report()
    {
        var figures = new List<(string, string)>
        {
            ("model", string.Create(CultureInfo.InvariantCulture, $"{Model.Config.Architecture}, {Model.Config.NumLayers} layers, hidden size {Model.Config.HiddenSize}")),
            ("method", _weights.Description),
            ("trained parameters", TrainableParameters.ToString("N0", CultureInfo.InvariantCulture)),
            ("steps", string.Create(CultureInfo.InvariantCulture, $"{Steps:N0} of {TotalSteps:N0}{(_stoppedEarly ? ", stopped early" : "")}")),
            ("training loss", string.Create(CultureInfo.InvariantCulture, $"{Loss(_history.FirstOrDefault(p => p.Step == 1).Loss)} in the first step, {Loss(LastLoss())} over the last ten")),
        };
        if (_validation is not null)
        {
            var last = _history.LastOrDefault(p => double.IsFinite(p.ValidationLoss));
            figures.Add(("validation loss", string.Create(CultureInfo.InvariantCulture, $"{Loss(_initialLoss ?? double.NaN)} before, {Loss(last.ValidationLoss)} after step {last.Step}")));
            if (Options.KeepBest && _bestStep > 0)
            {
                figures.Add(("result", string.Create(CultureInfo.InvariantCulture, $"step {_bestStep}, validation loss {Loss(_bestLoss)}")));
            }
        }

        figures.AddRange(
        [
            ("rows", string.Create(CultureInfo.InvariantCulture, $"{Counts.Train:N0} for training ({Counts.Tokens:N0} tokens, {Counts.TrainableTokens:N0} of them learned), {Counts.Validation:N0} for validation")),
            ("rows left out", string.Create(CultureInfo.InvariantCulture, $"{Counts.WithoutTarget:N0} without trainable tokens, {Counts.Overlong:N0} too long, {Counts.Unreadable:N0} unreadable")),
            ("rows cut", Counts.Truncated.ToString("N0", CultureInfo.InvariantCulture)),
            ("tokens seen", string.Create(CultureInfo.InvariantCulture, $"{Tokens:N0}, {TrainableTokens:N0} of them learned")),
            ("time", string.Create(CultureInfo.InvariantCulture, $"{Elapsed:h\\:mm\\:ss}, {Tokens / Math.Max(Elapsed.TotalSeconds, 1e-9):N0} tokens/s")),
            ("most memory", string.Create(CultureInfo.InvariantCulture, $"{ProcessMemory.Peak() / 1048576.0:N0} MiB")),
        ]);
        var settings = Settings.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(": ", 2)).Select(parts => (parts[0], parts[1]));
        return FineTuningReport.Html(_weights.Title, figures, settings, _weights.ByModule, _history, _weights.Section);

        static string Loss(double value) => double.IsFinite(value) ? value.ToString("F4", CultureInfo.InvariantCulture) : "not measured";
    }

    private double LastLoss()
    {
        double[] last = [.. _history.Where(point => point.Step > 0).TakeLast(10).Select(point => point.Loss)];
        return last.Length == 0 ? double.NaN : last.Average();
    }
}
