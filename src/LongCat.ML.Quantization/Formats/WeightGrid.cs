namespace LongCat.ML.Quantization;

/// <summary>The steps of a matrix: a level q of row n, group g stands for q · Scales[n] · GroupScales[n, g].</summary>
internal sealed class WeightGrid(int rows, int groups, bool grouped)
{
    public int Groups { get; } = groups;

    /// <summary>[N]; negative only without groups, where the row is mirrored; 0 for a row of zeros.</summary>
    public float[] Scales { get; } = new float[rows];

    /// <summary>[N, G], not 0, negative where the group is mirrored; null without groups.</summary>
    public short[]? GroupScales { get; } = grouped ? new short[checked(rows * groups)] : null;

    /// <summary>The amplifier that the scales are one over (Integer Scale); 0 elsewhere.</summary>
    public int Amplifier { get; set; }

    public float Step(int row, int group) => Scales[row] * (GroupScales is null ? 1 : GroupScales[(row * Groups) + group]);
}
