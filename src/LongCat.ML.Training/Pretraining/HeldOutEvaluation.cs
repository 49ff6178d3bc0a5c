using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Pretraining;

/// <summary>Perplexity and draft agreement on held-out documents.</summary>
public static class HeldOutEvaluation
{
    /// <summary>Evaluates a model; its weights and gradients stay as they are.</summary>
    /// <param name="model">The model.</param>
    /// <param name="rows">The packed held-out documents.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    /// <param name="maxRows">Rows to use at most.</param>
    /// <param name="rowsPerBatch">Rows per forward pass.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>The report.</returns>
    /// <exception cref="ArgumentException">There is nothing to predict in the rows.</exception>
    public static HeldOutReport Run(LongcatFlashForCausalLM model, PackedRows rows, int padding, int maxRows = int.MaxValue, int rowsPerBatch = 8, CancellationToken cancellationToken = default)
    {
        double loss = 0, draftLoss = 0;
        long count = 0, draftCount = 0, draftPositions = 0, agreed = 0;
        int limit = Math.Min(maxRows, rows.Count);
        bool hasDraft = model.Model.DraftHead is not null;
        using var noGradient = no_grad();
        for (int first = 0; first < limit; first += rowsPerBatch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using var batch = rows.Batch(first, Math.Min(rowsPerBatch, limit - first), padding);
            var result = model.Forward(batch.Sequences);
            var logits = model.Logits(result.Hidden);
            loss += SummedLoss(logits, batch.Next, ref count);
            if (hasDraft)
            {
                long[] greedy = ArgMax(logits);
                var draftLogits = model.Logits(model.ForwardDraft(result.Hidden, batch.Sequences));
                draftLoss += SummedLoss(draftLogits, batch.Second, ref draftCount);
                long[] draft = ArgMax(draftLogits);
                for (int t = 0; t < draft.Length; t++)
                {
                    if (batch.Second[t] != PackedBatch.NoTarget)
                    {
                        draftPositions++;
                        agreed += draft[t] == greedy[t + 1] ? 1 : 0;
                    }
                }
            }
        }

        if (count == 0)
        {
            throw new ArgumentException("the held-out documents predict no token; each needs two tokens or more", nameof(rows));
        }

        return new HeldOutReport(count, loss / count, hasDraft ? draftLoss / draftCount : double.NaN, hasDraft ? (double)agreed / draftPositions : double.NaN, draftPositions);
    }

    private static double SummedLoss(Tensor logits, long[] targets, ref long count)
    {
        count += targets.Count(t => t != PackedBatch.NoTarget);
        return nn.functional.cross_entropy(logits, tensor(targets), ignore_index: PackedBatch.NoTarget, reduction: nn.Reduction.Sum).item<float>();
    }

    private static long[] ArgMax(Tensor logits) => MemoryMarshal.Cast<byte, long>(logits.argmax(1).bytes).ToArray();
}
