using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>Merging into the model's weights and back.</content>
public sealed partial class AdaptedModel
{
    /// <summary>Why <see cref="Merge"/> would not be exact, and what to do; null when it would.</summary>
    public string? WhyNotMergeable => _clock.Beta != 0
        ? string.Create(CultureInfo.InvariantCulture, $"the adapter is still annealing, β = {_clock.Beta:R}: with an activation between A and B there is no matrix that does the same; train to the end of the annealing{(_afa is null ? "" : $" ({_afa.EndFraction:P0} of the steps)")}, where β is 0, or use {nameof(MergeApproximate)}")
        : WhyNotStorable;

    private string? WhyNotStorable
    {
        get
        {
            foreach (AdaptedProjection p in _projections)
            {
                if (p.Projection.IsQuantized)
                {
                    return $"{p.Path} is stored in 4 or 8 bits, which do not hold W + s·B·A; keep the adapter apart, or merge it into the float checkpoint and quantize that again";
                }

                if (p.Adapter.Bias is not null && p.Projection.Bias is null)
                {
                    return $"{p.Path}: B has a bias (lora_bias), but the layer has none to add it to; keep the adapter apart";
                }
            }

            foreach (TrainedTensor tensor in _saved)
            {
                if (Model.BaseWeights == BaseWeights.W4A8 && Model.Projections().Any(p => p.Path == tensor.Module && p.Projection.IsQuantized))
                {
                    return $"{tensor.Module} is stored in 4 or 8 bits, which do not hold what was trained; keep the adapter apart, or merge it into the float checkpoint and quantize that again";
                }
            }

            return _tables.Any(t => t.Path == "model.embed_tokens") && Model.Config.TieWordEmbeddings
                ? "model.embed_tokens is the output matrix too (tie_word_embeddings), which the adapter does not change; keep the adapter apart"
                : null;
        }
    }

    /// <summary>Adds the adapter to the model's weights, exactly up to their rounding: the model computes the same without the adapter's products. Training goes on after <see cref="Unmerge"/>.</summary>
    /// <remarks>The weights as they were are kept beside until then, so memory grows by the size of the changed matrices.</remarks>
    /// <exception cref="InvalidOperationException">The adapter is merged, or cannot be merged exactly; the message is <see cref="WhyNotMergeable"/>.</exception>
    public void Merge()
    {
        if (WhyNotMergeable is { } reason)
        {
            throw new InvalidOperationException(reason);
        }

        MergeLinear();
    }

    /// <summary>Merges the linear part of an adapter that is still annealing, and measures what that changes.</summary>
    /// <param name="probe">Tokens to measure with.</param>
    /// <returns>The largest difference of a logit between adapter and merged weights.</returns>
    /// <exception cref="InvalidOperationException">The adapter is merged, or the weights cannot hold it.</exception>
    public double MergeApproximate(SequenceBatch probe)
    {
        ArgumentNullException.ThrowIfNull(probe);
        if (WhyNotStorable is { } reason)
        {
            throw new InvalidOperationException(reason);
        }

        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        var before = Model.Logits(Model.Forward(probe).Hidden);
        MergeLinear();
        return Model.Logits(Model.Forward(probe).Hidden).sub(before).abs().max().ToDouble();
    }

    /// <summary>Takes the adapter out of the weights again, which are then as they were, bit by bit.</summary>
    /// <exception cref="InvalidOperationException">The adapter is not merged.</exception>
    public void Unmerge()
    {
        if (!IsMerged)
        {
            throw new InvalidOperationException("the adapter is not merged");
        }

        _projections.ForEach(p => p.Unmerge());
        _tables.ForEach(t => t.Unmerge());
        IsMerged = false;
    }

    private void MergeLinear()
    {
        if (IsMerged)
        {
            throw new InvalidOperationException("the adapter is merged already");
        }

        _projections.ForEach(p => p.Merge());
        _tables.ForEach(t => t.Merge());
        IsMerged = true;
    }
}
