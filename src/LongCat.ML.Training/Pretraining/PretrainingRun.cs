using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Reports;

namespace LongCat.ML.Training.Pretraining;

/// <summary>
/// A training run in a folder: <c>state/</c> (to resume from), <c>log.jsonl</c>, <c>loss.svg</c>, and <c>checkpoint/</c> (config.json, model.safetensors in bfloat16, the tokenizer's files).
/// </summary>
public sealed class PretrainingRun
{
    private readonly string _folder;
    private readonly string _configJson;
    private readonly Pretrainer _trainer;
    private readonly PackedRows _heldOut;
    private readonly int _padding;

    /// <summary>Prepares a run.</summary>
    /// <param name="folder">The run's folder, created when absent.</param>
    /// <param name="configJson">The text of config.json.</param>
    /// <param name="trainer">The trainer.</param>
    /// <param name="heldOut">The packed held-out documents.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    public PretrainingRun(string folder, string configJson, Pretrainer trainer, PackedRows heldOut, int padding)
    {
        _folder = folder;
        _configJson = configJson;
        _trainer = trainer;
        _heldOut = heldOut;
        _padding = padding;
        Directory.CreateDirectory(folder);
    }

    /// <summary>Where the states lie.</summary>
    public string StateFolder => Path.Combine(_folder, "state");

    /// <summary>The checkpoint in Hugging Face layout.</summary>
    public string CheckpointFolder => Path.Combine(_folder, "checkpoint");

    /// <summary>The log.</summary>
    public string LogFile => Path.Combine(_folder, "log.jsonl");

    /// <summary>Steps between two lines of log and output.</summary>
    public int LogEvery { get; init; } = 10;

    /// <summary>Time between two states.</summary>
    public TimeSpan SaveEvery { get; init; } = TimeSpan.FromMinutes(3);

    /// <summary>Steps between two evaluations.</summary>
    public int EvaluateEvery { get; init; } = 200;

    /// <summary>Held-out rows of an evaluation on the way; the last one takes all.</summary>
    public int EvaluationRows { get; init; } = 64;

    /// <summary>Continues from the newest state of the folder.</summary>
    /// <returns>Whether there was one.</returns>
    public bool Resume()
    {
        if (TrainingState.Newest(StateFolder) is not string state)
        {
            return false;
        }

        TrainingState.Restore(_trainer, state);
        return true;
    }

    /// <summary>Trains until the budget is spent or the token is cancelled; the state is saved either way.</summary>
    /// <param name="report">Gets lines for the user.</param>
    /// <param name="cancellationToken">Stops after the current step.</param>
    /// <returns>The last evaluation, or null when cancelled before the end.</returns>
    public HeldOutReport? Train(Action<string> report, CancellationToken cancellationToken)
    {
        using var log = new TrainingLog(LogFile, _trainer.Steps);
        var sinceLine = Stopwatch.StartNew();
        var sinceSave = Stopwatch.StartNew();
        long tokensBefore = _trainer.Tokens;
        while (_trainer.Progress < 1 && !cancellationToken.IsCancellationRequested)
        {
            var step = _trainer.Step();
            if (step.Step % LogEvery == 0)
            {
                double rate = (step.Tokens - tokensBefore) / sinceLine.Elapsed.TotalSeconds;
                log.Add(step, rate, _trainer.Elapsed);
                report(Line(step, rate));
                tokensBefore = step.Tokens;
                sinceLine.Restart();
            }

            if (step.Step % EvaluateEvery == 0)
            {
                var evaluation = Evaluate(EvaluationRows, cancellationToken);
                log.Add(step.Step, step.Tokens, evaluation);
                report($"held out: loss {evaluation.Loss:F3}, perplexity {evaluation.Perplexity:F2}, draft agreement {evaluation.DraftAgreement:P1}");
                sinceLine.Restart();
                tokensBefore = _trainer.Tokens;
            }

            if (sinceSave.Elapsed >= SaveEvery)
            {
                Save();
                sinceSave.Restart();
                sinceLine.Restart();
                tokensBefore = _trainer.Tokens;
            }
        }

        Save();
        if (cancellationToken.IsCancellationRequested)
        {
            report($"stopped after {_trainer.Steps} steps; the state is saved, continue with --resume");
            return null;
        }

        var final = Evaluate(int.MaxValue, CancellationToken.None);
        log.Add(_trainer.Steps, _trainer.Tokens, final);
        log.Dispose();
        LossCurve.Draw(LogFile, Path.Combine(_folder, "loss.svg"), $"Training: {_trainer.Tokens / 1e6:F1} M tokens, held-out perplexity {final.Perplexity:F2}");
        return final;
    }

    private HeldOutReport Evaluate(int rows, CancellationToken cancellationToken) =>
        HeldOutEvaluation.Run(_trainer.Model, _heldOut, _padding, rows, cancellationToken: cancellationToken);

    private void Save()
    {
        TrainingState.Save(_trainer, StateFolder);
        _trainer.Model.Save(CheckpointFolder, _configJson, TensorType.BFloat16);
        if (File.Exists(LogFile))
        {
            LossCurve.Draw(LogFile, Path.Combine(_folder, "loss.svg"), $"Training: {_trainer.Tokens / 1e6:F1} M tokens");
        }
    }

    private string Line(StepReport step, double rate)
    {
        double progress = _trainer.Progress;
        double left = progress > 0 ? _trainer.Elapsed.TotalSeconds * (1 - progress) / progress : 0;
        return FormattableString.Invariant(
            $"step {step.Step} ({progress:P1}), {step.Tokens / 1e6:F2} M tokens, loss {step.Loss:F3}, draft {step.DraftLoss:F3}, real experts {step.RealExperts:F2}, balance {step.Balance:F2}, norm {step.GradientNorm:F2}, rate {step.LearningRate:E2}, {rate:F0} tokens/s, {TimeSpan.FromSeconds(left):h\\:mm\\:ss} left");
    }
}
