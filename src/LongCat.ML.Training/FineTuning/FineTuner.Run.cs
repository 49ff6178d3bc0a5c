using LongCat.ML.Training.States;

namespace LongCat.ML.Training.FineTuning;

/// <content>The whole run: evaluations, early stopping, states.</content>
public sealed partial class FineTuner
{
    private float[][]? _best;
    private long _bestStep;
    private double _bestLoss = double.PositiveInfinity;
    private double? _initialLoss;
    private int _withoutProgress;
    private bool _stoppedEarly;

    /// <summary>Trains to the end: evaluates, stops early, saves states, and leaves the model with the weights of the result.</summary>
    /// <param name="progress">Hears of every step; null for none.</param>
    /// <param name="cancellationToken">Stops after the current step; the state is saved first where there is a folder for it.</param>
    /// <returns>How it went.</returns>
    /// <exception cref="FineTuningException">The loss is not finite: the message names the step and the rows of the batch.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public FineTuningResult Run(IProgress<FineTuningStep>? progress = null, CancellationToken cancellationToken = default)
    {
        if (_validation is not null && Steps == 0 && _initialLoss is null)
        {
            _weights.StepTo(0, TotalSteps);
            _initialLoss = Evaluate(cancellationToken);
            _history.Add(new HistoryPoint(0, double.NaN, double.NaN, double.NaN, double.NaN, _initialLoss.Value));
        }

        while (Steps < TotalSteps && !_stoppedEarly)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                if (Options.StateFolder is not null)
                {
                    SaveState();
                }

                cancellationToken.ThrowIfCancellationRequested();
            }

            var step = Step();
            if (_validation is not null && (Steps == TotalSteps || (Options.EvaluateEvery > 0 && Steps % Options.EvaluateEvery == 0)))
            {
                // Not cancellable: a step whose evaluation is missing would be saved as if it needed none.
                double loss = Evaluate(CancellationToken.None);
                _history[^1] = _history[^1] with { ValidationLoss = loss };
                step = step with { ValidationLoss = loss };
                Judge(loss);
            }

            progress?.Report(step);
            if (Options.StateFolder is not null && Options.SaveEvery > 0 && Steps % Options.SaveEvery == 0 && Steps < TotalSteps)
            {
                SaveState();
            }
        }

        if (Options.KeepBest && _best is not null)
        {
            _masters.Restore(_best);
        }

        bool best = Options.KeepBest && _best is not null;
        return new FineTuningResult
        {
            Steps = Steps,
            StoppedEarly = _stoppedEarly,
            BestStep = best ? _bestStep : Steps,
            TrainingLoss = LastLoss(),
            InitialValidationLoss = _initialLoss,
            ValidationLoss = best ? _bestLoss : _history.Count > 0 && _validation is not null ? _history[^1].ValidationLoss : null,
            Counts = Counts,
            Tokens = Tokens,
            Elapsed = Elapsed,
            PeakMemory = ProcessMemory.Peak(),
        };
    }

    /// <summary>Saves everything that <see cref="Resume"/> needs into <see cref="FineTuningOptions.StateFolder"/>; a process that is killed on the way leaves the states before.</summary>
    /// <returns>The new state's folder.</returns>
    /// <exception cref="InvalidOperationException">No folder was given, or the trainer has failed.</exception>
    public string SaveState()
    {
        string folder = Options.StateFolder ?? throw new InvalidOperationException("FineTuningOptions.StateFolder is null; give a folder for states");
        return _failed
            ? throw new InvalidOperationException("the trainer stopped at a loss that was not finite; its state is not worth saving")
            : StateFolders.Write(folder, Steps, Write);
    }

    /// <summary>Continues from the newest state of <see cref="FineTuningOptions.StateFolder"/>.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="LongCat.ML.Checkpoints.CheckpointException">The state is malformed, or of other settings, examples or another model.</exception>
    /// <exception cref="InvalidOperationException">No folder was given, or steps were already made.</exception>
    public bool Resume()
    {
        string folder = Options.StateFolder ?? throw new InvalidOperationException("FineTuningOptions.StateFolder is null; give the folder of the states");
        if (Steps > 0)
        {
            throw new InvalidOperationException($"{Steps} steps were already made; resume with a new trainer");
        }

        if (StateFolders.Newest(folder) is not string state)
        {
            return false;
        }

        Read(state);
        return true;
    }

    /// <summary>Keeps the weights when they are the best, and counts evaluations without progress.</summary>
    private void Judge(double loss)
    {
        // An adapter with β above 0 cannot be merged, so it does not compete.
        if (_weights.Beta != 0)
        {
            return;
        }

        if (loss < _bestLoss)
        {
            (_bestLoss, _bestStep, _withoutProgress) = (loss, Steps, 0);
            _best = Options.KeepBest ? _masters.Copy(_best) : null;
            return;
        }

        _withoutProgress++;
        _stoppedEarly = Options.Patience > 0 && _withoutProgress >= Options.Patience && Steps < TotalSteps;
    }
}
