using System.Reflection;
using LongCat.ML.Steps;
using Microsoft.ML.Data;

namespace LongCat.ML.Saving;

/// <summary>
/// The outputs of a saved Embed step. A mapping's columns have sizes that its class says, and the size of an embedding is the model's: so the vector is
/// cut into parts whose sizes are powers of two, the largest first, which Concatenate joins behind the mapping. Thus the size is known after plain
/// <c>mlContext.Model.Load</c> too, and a trainer may follow. Parts that a size does not need stay empty; nothing reads them.
/// </summary>
internal sealed class SavedEmbed : ISavedOutput
{
    private static readonly PropertyInfo[] Properties =
        [.. Enumerable.Range(0, EmbedStep.SavedParts).Select(bit => typeof(SavedEmbed).GetProperty($"Part{1 << bit}")!)];

    [ColumnName(SavedNames.Embedding + "1")]
    [VectorType(1)]
    public VBuffer<float> Part1 { get; set; }

    [ColumnName(SavedNames.Embedding + "2")]
    [VectorType(2)]
    public VBuffer<float> Part2 { get; set; }

    [ColumnName(SavedNames.Embedding + "4")]
    [VectorType(4)]
    public VBuffer<float> Part4 { get; set; }

    [ColumnName(SavedNames.Embedding + "8")]
    [VectorType(8)]
    public VBuffer<float> Part8 { get; set; }

    [ColumnName(SavedNames.Embedding + "16")]
    [VectorType(16)]
    public VBuffer<float> Part16 { get; set; }

    [ColumnName(SavedNames.Embedding + "32")]
    [VectorType(32)]
    public VBuffer<float> Part32 { get; set; }

    [ColumnName(SavedNames.Embedding + "64")]
    [VectorType(64)]
    public VBuffer<float> Part64 { get; set; }

    [ColumnName(SavedNames.Embedding + "128")]
    [VectorType(128)]
    public VBuffer<float> Part128 { get; set; }

    [ColumnName(SavedNames.Embedding + "256")]
    [VectorType(256)]
    public VBuffer<float> Part256 { get; set; }

    [ColumnName(SavedNames.Embedding + "512")]
    [VectorType(512)]
    public VBuffer<float> Part512 { get; set; }

    [ColumnName(SavedNames.Embedding + "1024")]
    [VectorType(1024)]
    public VBuffer<float> Part1024 { get; set; }

    [ColumnName(SavedNames.Embedding + "2048")]
    [VectorType(2048)]
    public VBuffer<float> Part2048 { get; set; }

    [ColumnName(SavedNames.Embedding + "4096")]
    [VectorType(4096)]
    public VBuffer<float> Part4096 { get; set; }

    [ColumnName(SavedNames.Embedding + "8192")]
    [VectorType(8192)]
    public VBuffer<float> Part8192 { get; set; }

    [ColumnName(SavedNames.Embedding + "16384")]
    [VectorType(16384)]
    public VBuffer<float> Part16384 { get; set; }

    [ColumnName(SavedNames.Embedding + "32768")]
    [VectorType(32768)]
    public VBuffer<float> Part32768 { get; set; }

    /// <summary>The columns that together hold a vector of <paramref name="size"/> elements, in order.</summary>
    public static string[] Parts(int size) => [.. Bits(size).Select(bit => $"{SavedNames.Embedding}{1 << bit}")];

    public void Fill(RowStep step, RowResult result)
    {
        float[] vector = ((EmbedResult)result).Vector;
        int start = 0;
        foreach (int bit in Bits(vector.Length))
        {
            int size = 1 << bit;
            Properties[bit].SetValue(this, new VBuffer<float>(size, vector[start..(start + size)]));
            start += size;
        }
    }

    private static IEnumerable<int> Bits(int size)
    {
        for (int bit = EmbedStep.SavedParts - 1; bit >= 0; bit--)
        {
            if ((size & (1 << bit)) != 0)
            {
                yield return bit;
            }
        }
    }
}
