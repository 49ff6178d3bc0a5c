using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// A model whose full attentions are blended with streaming ones, o = α · full + (1 - α) · streaming, one number α for each attention (LoZA, 2512.23966): the calibration that finds which
/// attentions can do without the middle of the context. Everything but α is frozen.
/// </summary>
/// <remarks>
/// The model stays the caller's; <see cref="Dispose"/> makes it what it was. The output matrix of an attention is linear, so blending before it is blending the attention's output.
/// Not thread-safe, but forward passes without gradient may run from several threads.
/// </remarks>
public sealed class StreamingBlend : IDisposable
{
    private readonly List<(Parameter Parameter, bool RequiredGradient)> _frozen = [];
    private readonly List<AttentionSight> _blended = [];

    private StreamingBlend(CausalLanguageModel model, StreamingAttentionConfig pattern, Parameter alpha) => (Model, Pattern, Alpha) = (model, pattern, alpha);

    /// <summary>The model, whose forward passes are blended.</summary>
    public CausalLanguageModel Model { get; }

    /// <summary>The streaming pattern and the attentions that are blended.</summary>
    public StreamingAttentionConfig Pattern { get; }

    /// <summary>[attentions] float32: α of each, in the order of the pattern's <see cref="StreamingAttentionConfig.AttentionLayers"/>, free to leave 0..1.</summary>
    public Parameter Alpha { get; }

    /// <summary>The values of <see cref="Alpha"/>.</summary>
    public IReadOnlyList<double> Values
    {
        get
        {
            using var scope = NewDisposeScope();
            return [.. MemoryMarshal.Cast<byte, float>(Alpha.detach().cpu().bytes).ToArray().Select(value => (double)value)];
        }
    }

    /// <summary>Blends attentions that see all of the context, and freezes the model's weights.</summary>
    /// <param name="model">The model, without adapters.</param>
    /// <param name="pattern">The streaming pattern and the attentions to blend with it.</param>
    /// <param name="initialAlpha">α at the beginning: finite.</param>
    /// <returns>The blend, to be disposed before the model.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="initialAlpha"/> is not finite.</exception>
    /// <exception cref="ArgumentException">The model has no such attention, or it is streaming already or has a sliding window: its cost does not grow with the context.</exception>
    /// <exception cref="InvalidOperationException">The model has adapters or a blend.</exception>
    public static StreamingBlend Attach(CausalLanguageModel model, StreamingAttentionConfig pattern, double initialAlpha)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(pattern);
        if (!double.IsFinite(initialAlpha))
        {
            throw new ArgumentOutOfRangeException(nameof(initialAlpha), initialAlpha, "expected a finite number");
        }

        if (model.Adapted is not null || model.Blend is not null)
        {
            throw new InvalidOperationException($"the model has {(model.Blend is null ? "adapters" : "a blend")} already; dispose {(model.Blend is null ? "the AdaptedModel" : "that StreamingBlend")} first");
        }

        pattern.Validate(model.Config);
        AttentionSight[] sights = [.. model.Sights()];
        foreach (int attention in pattern.AttentionLayers)
        {
            if (!sights[attention].IsFull)
            {
                throw new ArgumentException($"{nameof(pattern.AttentionLayers)} has {attention}, which is streaming in the model already; expected attentions that see all of the context", nameof(pattern));
            }
        }

        using var scope = NewDisposeScope();
        float[] initial = new float[pattern.AttentionLayers.Count];
        Array.Fill(initial, (float)initialAlpha);
        var alpha = new Parameter(tensor(initial, device: model.Device), requires_grad: true);
        alpha.DetachFromDisposeScope();
        StreamingBlend blend = new(model, pattern, alpha);
        foreach (var (_, parameter) in model.named_parameters())
        {
            blend._frozen.Add((parameter, parameter.requires_grad));
            parameter.requires_grad_(false);
            parameter.grad = null;
        }

        for (int i = 0; i < pattern.AttentionLayers.Count; i++)
        {
            int index = i;
            AttentionSight sight = sights[pattern.AttentionLayers[i]];
            sight.Blend = (pattern, () => alpha.select(0, index));
            blend._blended.Add(sight);
        }

        model.Blend = blend;
        return blend;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Model.Blend != this)
        {
            return;
        }

        Model.Blend = null;
        _blended.ForEach(sight => sight.Blend = null);
        foreach (var (parameter, required) in _frozen)
        {
            parameter.requires_grad_(required);
            parameter.grad = null;
        }

        Alpha.Dispose();
    }
}
