namespace LongCat.ML.TestShared.Fuzzing;

/// <summary>Changes bytes without knowing what they mean: flips, cuts, doubles, ends early, goes on.</summary>
internal static class ByteMutator
{
    public static byte[] Mutate(byte[] bytes, Random random)
    {
        List<byte> result = [.. bytes];
        for (int changes = random.Next(1, 5); changes > 0 && result.Count > 0; changes--)
        {
            int at = random.Next(result.Count), length = Math.Min(random.Next(1, 20), result.Count - at);
            switch (random.Next(7))
            {
                case 0:
                    result[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    result[at] = (byte)random.Next(256);
                    break;
                case 2:
                    result.RemoveRange(at, length);
                    break;
                case 3:
                    result.InsertRange(random.Next(result.Count), result.GetRange(at, length));
                    break;
                case 4:
                    result.RemoveRange(at, result.Count - at);
                    break;
                case 5:
                    result.Insert(at, "{}[]\",:\\0-eE.\n "u8[random.Next(15)]);
                    break;
                default:
                    result.AddRange(new byte[length]);
                    break;
            }
        }

        return [.. result];
    }
}
