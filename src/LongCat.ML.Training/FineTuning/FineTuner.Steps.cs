using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.FineTuning;

/// <content>Single steps and evaluations.</content>
public sealed partial class FineTuner
{
    /// <summary>The most logits that are held at once: a large vocabulary times many targets would need more memory than the model.</summary>
    private const int LogitsAtOnce = 1 << 25;

    /// <summary>Makes one step.</summary>
    /// <returns>What it did.</returns>
    /// <exception cref="FineTuningException">The loss or the gradient is not finite: the message names the step and the rows of the batch. The trainer cannot go on.</exception>
    public FineTuningStep Step()
    {
        if (_failed)
        {
            throw new FineTuningException($"the trainer stopped at step {Steps + 1}, where the loss was not finite; begin anew or resume from a state");
        }

        _watch.Start();

        _weights.StepTo(Steps, TotalSteps);
        Model.train();
        double rate = _schedule.Rate(Steps), beta = _weights.Beta;
        var batches = new PackedBatch[Options.AccumulationSteps];
        try
        {
            int targets = 0;
            for (int i = 0; i < batches.Length; i++)
            {
                batches[i] = _stream.NextAcrossEpochs(Options.BatchRows, _padding);
                targets += Targets(batches[i]).Count(target => target != PackedBatch.NoTarget);
            }

            double loss = 0;
            foreach (var batch in batches)
            {
                loss += Backward(batch, targets);
            }

            CheckFinite(loss, "the loss", batches);
            _masters.TakeGradients();
            double norm = _optimizer.Step(rate, _weights.TakeSparseGradients());
            CheckFinite(norm, "the gradient's norm", batches);
            _masters.Refresh();
            Steps++;
            Tokens += batches.Sum(b => b.Tokens);
            TrainableTokens += targets;
            _weights.StepTo(Steps, TotalSteps);
            _watch.Stop();
            _history.Add(new HistoryPoint(Steps, loss, rate, beta, norm, double.NaN));
            return new FineTuningStep
            {
                Step = Steps,
                TotalSteps = TotalSteps,
                Epoch = _stream.Epoch,
                Tokens = Tokens,
                TrainableTokens = TrainableTokens,
                Loss = loss,
                LearningRate = rate,
                Beta = beta,
                GradientNorm = norm,
                Elapsed = Elapsed,
            };
        }
        finally
        {
            _watch.Stop();
            foreach (var batch in batches)
            {
                batch?.Dispose();
            }
        }
    }

    /// <summary>The mean loss over the validation examples with the weights as they are.</summary>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>Mean cross-entropy per target, in nats.</returns>
    /// <exception cref="InvalidOperationException">There are no validation examples.</exception>
    public double Evaluate(CancellationToken cancellationToken = default)
    {
        var rows = _validation ?? throw new InvalidOperationException("there are no validation examples to evaluate on");
        double loss = 0;
        long count = 0;
        Model.eval();
        using var frozen = no_grad();
        for (int first = 0; first < rows.Count; first += Options.BatchRows)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using var batch = rows.NarrowBatch(first, Math.Min(Options.BatchRows, rows.Count - first), _padding);
            long[] positions = Positions(batch);
            var selected = Hidden(batch).index_select(0, tensor(positions, device: Model.Device));
            foreach (var (start, length) in Chunks(positions.Length))
            {
                using var chunk = NewDisposeScope();
                loss += CrossEntropy(selected.narrow(0, start, length), batch, positions.AsSpan(start, length)).item<float>();
            }

            count += positions.Length;
        }

        return loss / count;
    }

    /// <summary>Adds one batch's gradients of the loss over all targets of the step.</summary>
    /// <returns>The batch's part of the mean loss.</returns>
    private double Backward(PackedBatch batch, int targets)
    {
        using var scope = NewDisposeScope();
        long[] positions = Positions(batch);
        if (positions.Length == 0)
        {
            return 0;
        }

        // Only targets need logits. The output matrix works chunk by chunk, forward and backward, on a copy that is cut off the graph; the stack's backward pass
        // then begins with the chunks' joint gradient. No work is done twice, and never more than a chunk of logits exists.
        var selected = Hidden(batch).index_select(0, tensor(positions, device: Model.Device));
        double loss = 0;
        var slopes = new List<Tensor>();
        foreach (var (start, length) in Chunks(positions.Length))
        {
            using var chunk = NewDisposeScope();
            var leaf = selected.narrow(0, start, length).detach();
            leaf.requires_grad = selected.requires_grad;
            var part = CrossEntropy(leaf, batch, positions.AsSpan(start, length)).div(targets);
            part.backward();
            loss += part.item<float>();
            if (leaf.grad is { } slope)
            {
                slopes.Add(slope.MoveToOuterDisposeScope());
            }
        }

        if (slopes.Count > 0)
        {
            selected.backward([slopes.Count == 1 ? slopes[0] : cat(slopes, 0)]);
        }

        return loss;
    }

    private Tensor CrossEntropy(Tensor hidden, PackedBatch batch, ReadOnlySpan<long> positions)
    {
        long[] targets = new long[positions.Length], all = Targets(batch);
        for (int i = 0; i < targets.Length; i++)
        {
            targets[i] = all[positions[i]];
        }

        return nn.functional.cross_entropy(Model.Logits(hidden), tensor(targets, device: Model.Device), reduction: nn.Reduction.Sum);
    }

    private IEnumerable<(int Start, int Length)> Chunks(int positions)
    {
        int length = Math.Max(64, LogitsAtOnce / Model.Config.VocabSize);
        for (int start = 0; start < positions; start += length)
        {
            yield return (start, Math.Min(length, positions - start));
        }
    }

    /// <summary>The states that the output matrix reads: the model's, or the draft head's over a model that learns nothing.</summary>
    private Tensor Hidden(PackedBatch batch)
    {
        if (!Options.DraftHead)
        {
            return Model.Forward(batch.Sequences).Hidden;
        }

        Tensor hidden;
        using (no_grad())
        {
            hidden = Model.Forward(batch.Sequences).Hidden;
        }

        return ((LongcatFlashForCausalLM)Model).ForwardDraft(hidden, batch.Sequences);
    }

    /// <summary>What each position learns: the next token, or the one after it.</summary>
    private long[] Targets(PackedBatch batch) => Options.DraftHead ? batch.Second : batch.Next;

    private long[] Positions(PackedBatch batch)
    {
        long[] targets = Targets(batch);
        return [.. Enumerable.Range(0, targets.Length).Where(t => targets[t] != PackedBatch.NoTarget).Select(t => (long)t)];
    }

    private void CheckFinite(double value, string what, PackedBatch[] batches)
    {
        if (double.IsFinite(value))
        {
            return;
        }

        _failed = true;
        long[] rows = [.. batches.SelectMany(b => b.Documents).Select(index => _examples[index].Source).Where(source => source > 0).Distinct().Order()];
        string named = rows.Length == 0 ? $"{batches.Sum(b => b.Documents.Count)} examples" : $"rows {string.Join(", ", rows.Take(20))}{(rows.Length > 20 ? $" and {rows.Length - 20} more" : "")}";
        throw new FineTuningException(FormattableString.Invariant(
            $"step {Steps + 1}: {what} is {value}; the batch has {named}. Lower the learning rate ({Options.LearningRate:G3}), lengthen the warm-up, or look at these rows"));
    }
}
