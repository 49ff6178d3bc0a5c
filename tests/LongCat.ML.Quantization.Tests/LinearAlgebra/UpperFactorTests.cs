namespace LongCat.ML.Quantization.Tests;

public sealed class UpperFactorTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(127)]
    [InlineData(128)]
    [InlineData(129)]
    [InlineData(333)]
    public void The_factor_times_its_transpose_is_the_matrix(int size)
    {
        double[] matrix = Positive(size);
        UpperFactor factor = UpperFactor.TryFactorize((double[])matrix.Clone(), size, -1, CancellationToken.None)!;
        for (int i = 0; i < size; i++)
        {
            Assert.True(factor[i, i] > 0);
            for (int j = i; j < size; j++)
            {
                double sum = Enumerable.Range(j, size - j).Sum(c => factor[i, c] * factor[j, c]);

                // The backward error of a Cholesky factorization is at most (size + 1) · 2^-53 · sqrt(H_ii H_jj).
                Assert.Equal(matrix[(i * size) + j], sum, 2 * (size + 1) * Math.Pow(2, -52) * Math.Sqrt(matrix[(i * size) + i] * matrix[(j * size) + j]));
            }
        }

        double[] vector = [.. Samples.Gaussian(size, 1, 5).Select(value => (double)value)];
        double product = Enumerable.Range(0, size).Sum(i => Enumerable.Range(0, size).Sum(j => vector[i] * matrix[(Math.Min(i, j) * size) + Math.Max(i, j)] * vector[j]));
        Assert.Equal(product, factor.SquaredProduct(vector), Math.Abs(product) * 1e-11);
    }

    [Fact]
    public void The_bytes_do_not_depend_on_threads()
    {
        const int size = 400;
        UpperFactor one = UpperFactor.TryFactorize(Positive(size), size, 1, CancellationToken.None)!;
        UpperFactor all = UpperFactor.TryFactorize(Positive(size), size, -1, CancellationToken.None)!;
        for (int i = 0; i < size; i++)
        {
            for (int j = i; j < size; j++)
            {
                Assert.Equal(BitConverter.DoubleToInt64Bits(one[i, j]), BitConverter.DoubleToInt64Bits(all[i, j]));
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    public void A_matrix_that_is_not_positive_definite_has_none(double pivot)
    {
        double[] matrix = Positive(150);
        matrix[(20 * 150) + 20] = pivot;
        Assert.Null(UpperFactor.TryFactorize(matrix, 150, -1, CancellationToken.None));
    }

    private static double[] Positive(int size)
    {
        SiteStatistics statistics = Samples.Statistics(size, Samples.Gaussian(size * (size + 20), 1, size));
        return statistics.Gram!;
    }
}
