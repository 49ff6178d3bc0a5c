namespace LongCat.ML.Quantization;

/// <summary>Where a matrix stands in its model: its layer and what it does there.</summary>
/// <param name="Layer">The first number in the name; -1 where there is none.</param>
/// <param name="Kind">The last part of the name that says something, <c>experts.</c> in front where there are many of a kind.</param>
internal readonly record struct MatrixPlace(int Layer, string Kind)
{
    public static MatrixPlace Of(string name)
    {
        string[] parts = name.Split('.');
        int layer = -1;
        foreach (string part in parts)
        {
            if (int.TryParse(part, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int number))
            {
                layer = number;
                break;
            }
        }

        string kind = parts.LastOrDefault(part => part is not ("weight" or "") && !part.All(char.IsAsciiDigit)) ?? name;
        return new(layer, parts.Contains("experts") && kind != "experts" ? "experts." + kind : kind);
    }
}
