namespace LongCat.ML.Onnx;

/// <summary>Equal tensors one after another as a single one with a new leading dimension: the experts of a layer as [E, …].</summary>
internal sealed class StackedTensor : TensorSource
{
    private readonly IReadOnlyList<TensorSource> _parts;

    public StackedTensor(string key, IReadOnlyList<TensorSource> parts)
        : base(key, parts[0].Type, [parts.Count, .. parts[0].Shape])
    {
        foreach (TensorSource part in parts)
        {
            if (part.Type != parts[0].Type || !part.Shape.SequenceEqual(parts[0].Shape))
            {
                throw new ArgumentException(
                    $"{key}: {part.Key} is {part.Type} [{string.Join(", ", part.Shape)}], {parts[0].Key} is {parts[0].Type} [{string.Join(", ", parts[0].Shape)}]; stacked tensors are alike", nameof(parts));
            }
        }

        _parts = parts;
    }

    /// <summary>What each part is when they are packed in panels, null when they are not.</summary>
    public PanelTensor? Panels => _parts[0] as PanelTensor;

    public override void CopyTo(Stream destination)
    {
        foreach (TensorSource part in _parts)
        {
            part.CopyTo(destination);
        }
    }
}
