using System.Diagnostics;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>One run of <c>longcat-train zigzag calibrate</c>: texts, training with progress, output; the states lie beside the output until it is there.</summary>
internal sealed class ZigZagRun(string checkpoint, string output, bool overwrite, bool resume)
{
    private readonly string _states = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output)) + ".state";

    public int Execute(string train, string? validation, string column, BadRows badRows, ZigZagCalibrationOptions options, CancellationToken cancellationToken)
    {
        if (resume && !overwrite && Directory.Exists(output) && !Directory.Exists(_states))
        {
            Print($"{output} is complete; nothing to resume");
            return CommandHost.Success;
        }

        // A run that was killed after its output appeared is finished again, to the same output.
        bool replace = overwrite || (resume && Directory.Exists(_states));
        FineTuner.CheckOutput(output, replace);
        if (!resume && Directory.Exists(_states))
        {
            if (!overwrite)
            {
                throw new UsageException($"{_states} holds the states of a run that has not ended; continue it with --resume, or begin anew with --overwrite");
            }

            Directory.Delete(_states, recursive: true);
        }

        var encoder = new ExampleEncoder(HuggingFaceTokenizer.Load(checkpoint), ModelConfig.Load(checkpoint));
        var columns = new ExampleColumns { Text = column };
        var texts = ExampleFile.Read(train, columns, encoder, badRows, cancellationToken);
        var held = validation is null ? null : ExampleFile.Read(validation, columns, encoder, badRows, cancellationToken);
        foreach (var (set, path) in ((ExampleSet?, string?)[])[(texts, train), (held, validation)])
        {
            if (set is { Unreadable: > 0 })
            {
                Print($"left out: {set.Unreadable} rows of {path} that could not be read (first: {set.FirstProblem})");
            }
        }

        using var calibrator = ZigZagCalibrator.Create(checkpoint, texts.Examples, held?.Examples, options with { StateFolder = _states }, texts.Unreadable + (held?.Unreadable ?? 0));
        Print(FormattableString.Invariant($"{calibrator.Counts.Train} pieces of texts longer than the span, {calibrator.Counts.TrainableTokens} tokens whose prediction depends on alpha; rows of {calibrator.Columns} tokens, {calibrator.TotalSteps} steps"));
        if (resume)
        {
            Print(calibrator.Resume() ? $"resumed at step {calibrator.Steps}" : $"no state in {_states}; beginning anew");
        }

        FineTuningResult result;
        try
        {
            result = calibrator.Run(new Lines(calibrator), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            Print($"stopped after {calibrator.Steps} steps; the state is saved, continue with --resume");
            return CommandHost.Interrupted;
        }

        string report = calibrator.Save(output, replace);
        if (Directory.Exists(_states))
        {
            Directory.Delete(_states, recursive: true);
        }

        var found = calibrator.Result;
        AttentionTable.Print(Console.Out, ModelConfig.Load(checkpoint), [.. found.Attentions.Select(entry => entry.Attention)], found.Attentions, found.Choose(options.Share).AttentionLayers);
        string losses = result.ValidationLoss is double loss ? FormattableString.Invariant($"validation loss {result.InitialValidationLoss:F4} -> {loss:F4}") : FormattableString.Invariant($"training loss {result.TrainingLoss:F4}");
        Print(FormattableString.Invariant($"done: {result.Steps} steps in {result.Elapsed:h\\:mm\\:ss}, {result.Tokens / Math.Max(result.Elapsed.TotalSeconds, 1e-9):F0} tokens/s, {losses}, most memory {result.PeakMemory / 1048576.0:F0} MiB"));
        Print($"written: {output}; picture: {report}; next: longcat-train zigzag apply {checkpoint} --calibration {output} --output FOLDER");
        return CommandHost.Success;
    }

    private static void Print(string line) => Console.WriteLine(line);

    /// <summary>A line every tenth of the run or every ten seconds, and for every evaluation.</summary>
    private sealed class Lines(ZigZagCalibrator calibrator) : IProgress<FineTuningStep>
    {
        private static readonly TimeSpan s_every = TimeSpan.FromSeconds(10);
        private readonly Stopwatch _since = Stopwatch.StartNew();
        private readonly TimeSpan _elapsedBefore = calibrator.Elapsed;
        private readonly long _stepsBefore = calibrator.Steps;

        public void Report(FineTuningStep step)
        {
            if (step.ValidationLoss is null && step.Step != 1 && step.Step != step.TotalSteps && step.Step % Math.Max(1, step.TotalSteps / 10) != 0 && _since.Elapsed < s_every)
            {
                return;
            }

            _since.Restart();
            double seconds = Math.Max((step.Elapsed - _elapsedBefore).TotalSeconds, 1e-9);
            var left = TimeSpan.FromSeconds(Math.Min(seconds / (step.Step - _stepsBefore) * (step.TotalSteps - step.Step), 3.6e6));
            IReadOnlyList<double> alphas = [.. calibrator.Result.Attentions.Select(entry => entry.Alpha)];
            Print(string.Create(CultureInfo.InvariantCulture,
                $"step {step.Step}/{step.TotalSteps}, epoch {step.Epoch}, loss {step.Loss:F4}, {(step.ValidationLoss is double v ? $"validation {v:F4}, " : "")}alpha {alphas.Min():F3}..{alphas.Max():F3}, {left:h\\:mm\\:ss} left"));
        }
    }
}
