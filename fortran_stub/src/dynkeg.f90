!> Kinetic-energy gradient of the vector-invariant form.
module dynkeg
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0
   use dom_oce, only: r1_e1u, r1_e2v
   use oce, only: uu, vv
   implicit none
   private
   public :: dyn_keg

   real(wp), allocatable :: zhke(:, :)   ! K [m2 s-2]

contains

   !> Add -grad K, with K = (mean over i of u**2 + mean over j of v**2) / 2 at T points.
   subroutine dyn_keg(Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2    !< rows
      integer :: jk
      if (.not. allocated(zhke)) allocate (zhke(jpi, jpj))
      do jk = 1, jpk
         call energy(jpi*(kj1 - 1), jpi*(kj2 + 1), uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), zhke)
         call grad(kj1, kj2, zhke, r1_e1u, r1_e2v, uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_keg

   pure subroutine energy(k0, k1, pu, pv, pke)
      integer, intent(in) :: k0, k1   ! points before the first row, points up to the last one
      real(wp), intent(in), dimension(jpi*jpj) :: pu, pv
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pke
      integer :: jn
      do jn = k0 + 1, k1
         pke(jn) = 0.25_wp*((pu(jn - 1)*pu(jn - 1) + pu(jn)*pu(jn)) + (pv(jn - jpi)*pv(jn - jpi) + pv(jn)*pv(jn)))
      end do
   end subroutine energy

   pure subroutine grad(kj1, kj2, pke, pr1u, pr1v, pru, prv)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, kj1:kj2 + 1) :: pke
      real(wp), intent(in), dimension(jpi, jpj) :: pr1u, pr1v
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) - (pke(ji + 1, jj) - pke(ji, jj))*pr1u(ji, jj)
            prv(ji, jj) = prv(ji, jj) - (pke(ji, jj + 1) - pke(ji, jj))*pr1v(ji, jj)
         end do
      end do
   end subroutine grad
end module dynkeg
