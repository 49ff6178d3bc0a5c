using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>One run of <c>longcat-train lora</c> or <c>draft</c>: rows, training with progress, output; the states lie beside the output until it is there.</summary>
internal sealed class FineTuningRun(string checkpoint, string output, bool overwrite, bool resume)
{
    private readonly RunStates _states = new(output, overwrite, resume);

    public int Execute(string train, string? validation, double share, ExampleSettings settings, FineTuningOptions options, CancellationToken cancellationToken)
    {
        if (!_states.Begin())
        {
            return CommandHost.Success;
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

        using var tuner = FineTuner.Create(checkpoint, rows.Examples, held?.Examples, options with { StateFolder = _states.Folder }, rows.Unreadable + (validation is null ? 0 : held!.Unreadable));
        Describe(tuner);
        _states.Resume(tuner.Resume, () => tuner.Steps);

        FineTuningResult result;
        try
        {
            long tokens = tuner.Tokens;
            result = tuner.Run(new ProgressLines(tuner.Elapsed, tuner.Steps, (step, seconds) => Rates(step, (step.Tokens - tokens) / seconds)), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            Print($"stopped after {tuner.Steps} steps; the state is saved, continue with --resume");
            return CommandHost.Interrupted;
        }

        string report = tuner.Save(output, _states.Replace);
        _states.Delete();

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

    private static string Rates(FineTuningStep step, double rate) =>
        FormattableString.Invariant($"{(step.Beta > 0 ? $"beta {step.Beta:F3}, " : "")}norm {step.GradientNorm:F3}, rate {step.LearningRate:E2}, {rate:F0} tokens/s");

    private static void Print(string line) => Console.WriteLine(line);
}
