using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>One run of <c>longcat-train zigzag calibrate</c>: texts, training with progress, output; the states lie beside the output until it is there.</summary>
internal sealed class ZigZagRun(string checkpoint, string output, bool overwrite, bool resume)
{
    private readonly RunStates _states = new(output, overwrite, resume);

    public int Execute(string train, string? validation, string column, BadRows badRows, ZigZagCalibrationOptions options, CancellationToken cancellationToken)
    {
        if (!_states.Begin())
        {
            return CommandHost.Success;
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

        using var calibrator = ZigZagCalibrator.Create(checkpoint, texts.Examples, held?.Examples, options with { StateFolder = _states.Folder }, texts.Unreadable + (held?.Unreadable ?? 0));
        Print(FormattableString.Invariant($"{calibrator.Counts.Train} pieces of texts longer than the span, {calibrator.Counts.TrainableTokens} tokens whose prediction depends on alpha; rows of {calibrator.Columns} tokens, {calibrator.TotalSteps} steps"));
        _states.Resume(calibrator.Resume, () => calibrator.Steps);

        FineTuningResult result;
        try
        {
            result = calibrator.Run(new ProgressLines(calibrator.Elapsed, calibrator.Steps, (_, _) => Alphas(calibrator)), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            Print($"stopped after {calibrator.Steps} steps; the state is saved, continue with --resume");
            return CommandHost.Interrupted;
        }

        string report = calibrator.Save(output, _states.Replace);
        _states.Delete();

        var found = calibrator.Result;
        AttentionTable.Print(Console.Out, ModelConfig.Load(checkpoint), [.. found.Attentions.Select(entry => entry.Attention)], found.Attentions, found.Choose(options.Share).AttentionLayers);
        string losses = result.ValidationLoss is double loss ? FormattableString.Invariant($"validation loss {result.InitialValidationLoss:F4} -> {loss:F4}") : FormattableString.Invariant($"training loss {result.TrainingLoss:F4}");
        Print(FormattableString.Invariant($"done: {result.Steps} steps in {result.Elapsed:h\\:mm\\:ss}, {result.Tokens / Math.Max(result.Elapsed.TotalSeconds, 1e-9):F0} tokens/s, {losses}, most memory {result.PeakMemory / 1048576.0:F0} MiB"));
        Print($"written: {output}; picture: {report}; next: longcat-train zigzag apply {checkpoint} --calibration {output} --output FOLDER");
        return CommandHost.Success;
    }

    private static string Alphas(ZigZagCalibrator calibrator)
    {
        IReadOnlyList<double> alphas = [.. calibrator.Result.Attentions.Select(entry => entry.Alpha)];
        return FormattableString.Invariant($"alpha {alphas.Min():F3}..{alphas.Max():F3}");
    }

    private static void Print(string line) => Console.WriteLine(line);
}
