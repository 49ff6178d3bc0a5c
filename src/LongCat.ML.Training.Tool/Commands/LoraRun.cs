using System.Diagnostics;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>One run of <c>longcat-train lora</c>: rows, training with progress, output; the states lie beside the output until it is there.</summary>
internal sealed class LoraRun(string checkpoint, string output, bool overwrite, bool resume)
{
    private readonly string _states = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output)) + ".state";

    public int Execute(string train, string? validation, double share, ExampleSettings settings, FineTuningOptions options, CancellationToken cancellationToken)
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

        var encoder = new ExampleEncoder(HuggingFaceTokenizer.Load(checkpoint), ModelConfig.Load(checkpoint), settings.Columns.Chat is null ? null : ChatTemplate.Load(checkpoint)) { LossOnPrompt = settings.LossOnPrompt };
        var rows = ExampleFile.Read(train, settings.Columns, encoder, settings.BadRows, cancellationToken);
        var held = validation is null ? null : ExampleFile.Read(validation, settings.Columns, encoder, settings.BadRows, cancellationToken);
        if (share > 0)
        {
            (rows, held) = rows.Divide(share, options.Seed);
        }

        Report(rows, train);
        if (held is not null && validation is not null)
        {
            Report(held, validation);
        }

        using var tuner = FineTuner.Create(checkpoint, rows.Examples, held?.Examples, options with { StateFolder = _states }, rows.Unreadable + (validation is null ? 0 : held!.Unreadable));
        Describe(tuner);
        if (resume)
        {
            Print(tuner.Resume() ? $"resumed at step {tuner.Steps}" : $"no state in {_states}; beginning anew");
        }

        FineTuningResult result;
        try
        {
            result = tuner.Run(new Lines(tuner), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            Print($"stopped after {tuner.Steps} steps; the state is saved, continue with --resume");
            return CommandHost.Interrupted;
        }

        string report = tuner.Save(output, replace);
        if (Directory.Exists(_states))
        {
            Directory.Delete(_states, recursive: true);
        }

        string losses = result.ValidationLoss is double loss ? $"validation loss {result.InitialValidationLoss:F4} -> {loss:F4} (step {result.BestStep})" : $"training loss {result.TrainingLoss:F4}";
        Print(FormattableString.Invariant($"done: {result.Steps} steps{(result.StoppedEarly ? " (stopped early)" : "")} in {result.Elapsed:h\\:mm\\:ss}, {result.Tokens / Math.Max(result.Elapsed.TotalSeconds, 1e-9):F0} tokens/s, {losses}, most memory {result.PeakMemory / 1048576.0:F0} MiB"));
        Print($"written: {output}; curves: {report}");
        return CommandHost.Success;
    }

    private static void Describe(FineTuner tuner)
    {
        var counts = tuner.Counts;
        Print(FormattableString.Invariant($"{counts.Train} rows to train on, {counts.Tokens} tokens, {counts.TrainableTokens} of them learned; {counts.Validation} rows to evaluate on"));
        if (counts.WithoutTarget + counts.Overlong + counts.Truncated > 0)
        {
            Print(FormattableString.Invariant($"left out: {counts.WithoutTarget} rows without trainable tokens, {counts.Overlong} too long; cut: {counts.Truncated}"));
        }

        Print(FormattableString.Invariant($"{tuner.TrainableParameters} trained parameters, {tuner.TotalSteps} steps"));
    }

    private static void Report(ExampleSet rows, string path)
    {
        if (rows.Unreadable > 0)
        {
            Print(FormattableString.Invariant($"left out: {rows.Unreadable} rows of {path} that could not be read (first: {rows.FirstProblem})"));
        }
    }

    private static void Print(string line) => Console.WriteLine(line);

    /// <summary>A line every tenth of the run or every ten seconds, and for every evaluation.</summary>
    private sealed class Lines(FineTuner tuner) : IProgress<FineTuningStep>
    {
        private static readonly TimeSpan s_every = TimeSpan.FromSeconds(10);
        private readonly Stopwatch _since = Stopwatch.StartNew();
        private readonly TimeSpan _elapsedBefore = tuner.Elapsed;
        private readonly long _tokensBefore = tuner.Tokens, _stepsBefore = tuner.Steps;

        public void Report(FineTuningStep step)
        {
            if (step.ValidationLoss is null && step.Step != 1 && step.Step != step.TotalSteps && step.Step % Math.Max(1, step.TotalSteps / 10) != 0 && _since.Elapsed < s_every)
            {
                return;
            }

            _since.Restart();
            double seconds = Math.Max((step.Elapsed - _elapsedBefore).TotalSeconds, 1e-9);
            var left = TimeSpan.FromSeconds(Math.Min(seconds / (step.Step - _stepsBefore) * (step.TotalSteps - step.Step), 3.6e6));
            Print(string.Create(CultureInfo.InvariantCulture,
                $"step {step.Step}/{step.TotalSteps}, epoch {step.Epoch}, loss {step.Loss:F4}, {(step.ValidationLoss is double v ? $"validation {v:F4}, " : "")}{(step.Beta > 0 ? $"beta {step.Beta:F3}, " : "")}norm {step.GradientNorm:F3}, rate {step.LearningRate:E2}, {(step.Tokens - _tokensBefore) / seconds:F0} tokens/s, {left:h\\:mm\\:ss} left"));
        }
    }
}
