namespace LongCat.ML.Checkpoints;

/// <summary>A tensor that a config calls for.</summary>
/// <param name="Name">The published name.</param>
/// <param name="Shape">The dimensions, outermost first; matrices are [out, in].</param>
/// <param name="Group">What it is for.</param>
public sealed record ExpectedTensor(string Name, IReadOnlyList<long> Shape, TensorGroup Group)
{
    /// <summary>The number of elements.</summary>
    public long ElementCount
    {
        get
        {
            long count = 1;
            foreach (long dimension in Shape)
            {
                count = checked(count * dimension);
            }

            return count;
        }
    }
}
